; Solve A x = b once: write the matrix into the arrays, close the loop, store what it settles to.
;
;   host loads   v1 = b, its largest mantissa near full scale   codes
;   results      v2 = x
;   halts        0 done
        PROG
        INV  v2, v1
        HALT 0
