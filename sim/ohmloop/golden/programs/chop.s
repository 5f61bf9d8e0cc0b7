; Solve A x = b once with +b and once with -b and halve the difference.
;
; What does not change sign with b goes: the offsets of amplifiers and converters, as long as both closings end in the
; same range. Read noise comes down by the root of two.
;
;   host loads   v1 = b   codes   k3 = 1/2
;   results      v2 = x
;   inside       v3 = b   v4 = -b   v5 = INV b   v6 = INV -b
;   halts        0 done
        PROG
        AXPY v3, v0, k0, v1         ; both brought to full scale: INV takes the top bits
        AXPY v4, v0, -k0, v1
        INV  v5, v3
        INV  v6, v4
        AXPY v2, v5, -k0, v6
        AXPY v2, v0, k3, v2
        HALT 0
