; Generalised conjugate residuals, preconditioned by the loop, one direction kept.
;
;   z = INV r        w = M z        beta = <w, q> / <q, q>
;   p = z - beta p   q = w - beta q = M p
;   alpha = <r, q> / <q, q>         x += alpha p        r -= alpha q
;
; alpha makes ||r|| as small as the direction allows, so it never grows, whatever the loop answers. Where M INV r is at
; a right angle to r, as an inverse of a few bits may have it, r stays, and with it z: after a turn that took less than
; an eighth off ||r||^2 the next z is INV q. When the r carried along is small enough, or four turns in a row were slow,
; the true b - M x is computed; if that is not small enough, the program goes on with it.
;
;   host loads   v1 = b   m0 = M   codes   k1 = 1/tolerance^2   k2 = 2^limit, limit at most 500   k3 = 1/2   k4 = 8/7
;   results      v2 = x   k5 = 2^iterations   k7 = ||r||^2, true where the halt code is 0
;   inside       v3 = r   v4 = z   v5 = w   v6 = p   v7 = q   k6 = wanted ||r||^2   k8 = true ||r||^2 when last computed
;                k9 = <w, q>, <r, q>, ||r||^2 that is slow   k10 = <q, q>   k11 = beta, alpha   c1 = slow turns left
;   halts        0 done   2 limit   3 stagnated: the true ||r||^2 has not come down by an eighth since it was last
;                computed, as at the limit of 32-bit mantissas, or the loop answered zero
        PROG
        AXPY v3, v0, k0, v1         ; r = b
        AXPY v2, v0, k0, v0         ; x = p = q = 0
        AXPY v6, v0, k0, v0
        AXPY v7, v0, k0, v0
        DOT  k7, v3, v3
        DIV  k6, k7, k1
        DIV  k8, k7, k0
        DIV  k10, k0, k0            ; the first beta is 0 / 1
        DIV  k5, k0, k0             ; no iterations yet
        BLE  k7, k6, 0, done

again:  SETC c1, 4
        BLE  k2, k5, 0, limit
        DIV  k5, k5, k3             ; one more
        INV  v4, v3
turn:   MAT  v5, v0, m0, v4
        DOT  k9, v5, v7
        DIV  k11, k9, k10
        AXPY v6, v4, -k11, v6
        AXPY v7, v5, -k11, v7
        DOT  k10, v7, v7
        BLE  k10, k10, -1, stuck    ; q = 0
        DOT  k9, v3, v7
        DIV  k11, k9, k10
        AXPY v2, v2, k11, v6
        AXPY v3, v3, -k11, v7
        DIV  k9, k7, k4
        DOT  k7, v3, v3
        BLE  k7, k6, 0, true
        BLE  k7, k9, 0, again

        LOOP c1, slow
        BLE  k0, k0, 0, true
slow:   BLE  k2, k5, 0, limit
        DIV  k5, k5, k3
        INV  v4, v7
        BLE  k0, k0, 0, turn

true:   MAT  v3, v1, -m0, v2
        DOT  k7, v3, v3
        BLE  k7, k6, 0, done
        DIV  k9, k8, k4
        BLE  k9, k7, 0, stuck
        DIV  k8, k7, k0
        BLE  k0, k0, 0, again

limit:  HALT 2
stuck:  HALT 3
done:   HALT 0
