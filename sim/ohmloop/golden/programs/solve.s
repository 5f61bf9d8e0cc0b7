; Solve A v2 = v1 once: write the matrix into the arrays, close the loop, store what it settles to.
PROG
INV  v2, v1
HALT 0
