; Refinement: x += INV r, r = b - M x, until ||r|| <= tolerance ||b||.
;
; The loop holds M to a few bits, the slot to 24, and the residual is exact to 32: each turn takes as many bits off the
; error as the loop knows of M. It converges if and only if the spectral radius of I - M INV is below one.
;
;   host loads   v1 = b   m0 = M   codes   k1 = 1/tolerance^2   k2 = 2^limit, limit at most 500   k3 = 1/2
;   results      v2 = x, the best so far   k5 = 2^iterations   k7 = ||b - M x||^2
;   inside       v3 = r   v4 = INV r   v5 = x as it goes on   k6 = wanted ||r||^2   k8 = ||r||^2 at the last progress
;                k9 = ||r||^2   c1 = turns left to make progress
;   halts        0 done   1 diverged: 8 turns without progress, and ||r|| is at least twice what it was at best
;                2 limit   3 stagnated: as 1, and ||r|| has stayed near its best
;
; Progress is a ||r||^2 of half of what it was. A residual of zero, b = 0 included, is done.
        PROG
        AXPY v3, v0, k0, v1         ; r = b
        AXPY v2, v0, k0, v0         ; x = 0
        AXPY v5, v0, k0, v0
        DOT  k7, v3, v3
        DIV  k6, k7, k1
        DIV  k8, k7, k0
        DIV  k5, k0, k0             ; no iterations yet
        SETC c1, 8
        BLE  k7, k6, 0, done

again:  BLE  k2, k5, 0, limit
        DIV  k5, k5, k3             ; one more
        INV  v4, v3
        AXPY v5, v5, k0, v4
        MAT  v3, v1, -m0, v5
        DOT  k9, v3, v3
        BLE  k9, k7, 0, better

worse:  LOOP c1, again
        BLE  k9, k7, 2, stuck
        HALT 1
stuck:  HALT 3

better: AXPY v2, v0, k0, v5
        DIV  k7, k9, k0
        BLE  k7, k6, 0, done
        BLE  k7, k8, -1, on
        BLE  k0, k0, 0, worse
on:     DIV  k8, k7, k0
        SETC c1, 8
        BLE  k0, k0, 0, again

limit:  HALT 2
done:   HALT 0
