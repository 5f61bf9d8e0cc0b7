; Conjugate residuals without the loop: gcr with z = r where gcr has z = INV r.
;
; The loop never closes and no cell is written; vector unit, memories and clocks are the same. It is the baseline that
; the loop has to beat.
;
;   w = M r          beta = <w, q> / <q, q>
;   p = r - beta p   q = w - beta q = M p
;   alpha = <r, q> / <q, q>         x += alpha p        r -= alpha q
;
; On a symmetric M they are those that keep all directions. The detour of gcr after a slow turn would cost them that.
;
;   host loads   v1 = b   m0 = M   k1 = 1/tolerance^2   k2 = 2^limit, limit at most 500   k3 = 1/2
;   results      v2 = x   k5 = 2^iterations   k7 = ||r||^2, true where the halt code is 0
;   inside       v3 = r   v5 = w   v6 = p   v7 = q   k6 = wanted ||r||^2   k8 = true ||r||^2 when last computed
;                k9 = <w, q>, <r, q>   k10 = <q, q>   k11 = beta, alpha
;   halts        0 done   2 limit   3 stagnated: the true ||r||^2 has not halved since it was last computed, or M r = 0
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

again:  BLE  k2, k5, 0, limit
        DIV  k5, k5, k3             ; one more
        MAT  v5, v0, m0, v3
        DOT  k9, v5, v7
        DIV  k11, k9, k10
        AXPY v6, v3, -k11, v6
        AXPY v7, v5, -k11, v7
        DOT  k10, v7, v7
        BLE  k10, k10, -1, stuck    ; q = 0
        DOT  k9, v3, v7
        DIV  k11, k9, k10
        AXPY v2, v2, k11, v6
        AXPY v3, v3, -k11, v7
        DOT  k7, v3, v3
        BLE  k7, k6, 0, true
        BLE  k0, k0, 0, again

true:   MAT  v3, v1, -m0, v2
        DOT  k7, v3, v3
        BLE  k7, k6, 0, done
        BLE  k8, k7, 1, stuck
        DIV  k8, k7, k0
        BLE  k0, k0, 0, again

limit:  HALT 2
stuck:  HALT 3
done:   HALT 0
