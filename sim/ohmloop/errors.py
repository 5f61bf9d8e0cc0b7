"""The errors a user may meet: one line that says what was given, where, and what is allowed.

``exit_code`` is what the command line ends with when such an error reaches it.
"""


class OhmloopError(Exception):
    """Base of every error that is the user's to read; the first line of its text says it all."""

    exit_code = 1


class InputError(OhmloopError):
    """What was given cannot be used: a file, an option, a matrix."""

    exit_code = 2


class NotSolvedError(OhmloopError):
    """The work was done and no acceptable answer came out; the message says why and gives the best residual."""

    exit_code = 3


class InterruptedWorkError(OhmloopError):
    """Ctrl-C ended work that can go on later; the message says how far it got and how to go on."""

    exit_code = 130
