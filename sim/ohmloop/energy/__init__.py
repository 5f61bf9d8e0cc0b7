"""Energy of a run: what was counted, times joules; what is static, times watts and seconds; and the digital rivals."""
