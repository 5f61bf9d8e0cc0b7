; Generalised conjugate residuals, preconditioned by the loop, the last five directions kept.
;
;   z = INV r                w = M z
;   for each kept (p_i, q_i):   beta = <w, q_i> / <q_i, q_i>      z -= beta p_i      w -= beta q_i
;   (p, q) = (z, w) in place of the oldest                        alpha = <r, q> / <q, q>
;   x += alpha p             r -= alpha q
;
; As gcr, with five directions in place of one. They help where one cannot hold the weakest direction of M apart from
; the rest, which INV knows least of. An alpha of 24 bits leaves 2^-24 of r along its q, and no later direction takes
; that off as long as q is kept: a turn that took 3 bits or more takes off r along q once more. After a slow turn the
; next z is INV w, and its direction takes the place of v6, whichever is the oldest. All sixteen vectors are in use,
; and the five turns are written out, since a program cannot number its registers.
;
;   host loads   v1 = b   m0 = M   codes   k1 = 1/tolerance^2   k2 = 2^limit, limit at most 500   k3 = 1/2   k4 = 8/7
;   results      v2 = x   k5 = 2^iterations   k7 = ||r||^2, true where the halt code is 0
;   inside       v3 = r   v4 = z   v5 = w   v6-v10 = p   v11-v15 = q   k6 = wanted ||r||^2
;                k8 = true ||r||^2 when last computed   k9 = <w, q>, <r, q>, ||r||^2 that is slow   k10-k14 = <q, q>
;                k15 = beta, alpha   c1 = slow turns left
;   halts        0 done   2 limit   3 stagnated, as gcr
        PROG
        AXPY v3, v0, k0, v1         ; r = b
        AXPY v2, v0, k0, v0         ; x = p = q = 0
        AXPY v6, v0, k0, v0
        AXPY v7, v0, k0, v0
        AXPY v8, v0, k0, v0
        AXPY v9, v0, k0, v0
        AXPY v10, v0, k0, v0
        AXPY v11, v0, k0, v0
        AXPY v12, v0, k0, v0
        AXPY v13, v0, k0, v0
        AXPY v14, v0, k0, v0
        AXPY v15, v0, k0, v0
        DOT  k7, v3, v3
        DIV  k6, k7, k1
        DIV  k8, k7, k0
        DIV  k10, k0, k0            ; the first betas are 0 / 1
        DIV  k11, k0, k0
        DIV  k12, k0, k0
        DIV  k13, k0, k0
        DIV  k14, k0, k0
        DIV  k5, k0, k0             ; no iterations yet
        BLE  k7, k6, 0, done

turn1:  SETC c1, 4                  ; into v6, v11, k10
        BLE  k2, k5, 0, limit
        DIV  k5, k5, k3             ; one more
        INV  v4, v3
on:     MAT  v5, v0, m0, v4
        DOT  k9, v5, v12
        DIV  k15, k9, k11
        AXPY v4, v4, -k15, v7
        AXPY v5, v5, -k15, v12
        DOT  k9, v5, v13
        DIV  k15, k9, k12
        AXPY v4, v4, -k15, v8
        AXPY v5, v5, -k15, v13
        DOT  k9, v5, v14
        DIV  k15, k9, k13
        AXPY v4, v4, -k15, v9
        AXPY v5, v5, -k15, v14
        DOT  k9, v5, v15
        DIV  k15, k9, k14
        AXPY v4, v4, -k15, v10
        AXPY v5, v5, -k15, v15
        DOT  k9, v5, v11
        DIV  k15, k9, k10
        AXPY v6, v4, -k15, v6
        AXPY v11, v5, -k15, v11
        DOT  k10, v11, v11
        BLE  k10, k10, -1, stuck    ; q = 0
        DOT  k9, v3, v11
        DIV  k15, k9, k10
        AXPY v2, v2, k15, v6
        AXPY v3, v3, -k15, v11
        DIV  k9, k7, k4
        DOT  k7, v3, v3
        BLE  k7, k6, 0, true
        BLE  k9, k7, 6, most1
        DOT  k15, v3, v11           ; once more
        DIV  k15, k15, k10
        AXPY v2, v2, k15, v6
        AXPY v3, v3, -k15, v11
most1:  BLE  k7, k9, 0, turn2
        BLE  k0, k0, 0, slow

turn2:  SETC c1, 4                  ; into v7, v12, k11
        BLE  k2, k5, 0, limit
        DIV  k5, k5, k3
        INV  v4, v3
        MAT  v5, v0, m0, v4
        DOT  k9, v5, v13
        DIV  k15, k9, k12
        AXPY v4, v4, -k15, v8
        AXPY v5, v5, -k15, v13
        DOT  k9, v5, v14
        DIV  k15, k9, k13
        AXPY v4, v4, -k15, v9
        AXPY v5, v5, -k15, v14
        DOT  k9, v5, v15
        DIV  k15, k9, k14
        AXPY v4, v4, -k15, v10
        AXPY v5, v5, -k15, v15
        DOT  k9, v5, v11
        DIV  k15, k9, k10
        AXPY v4, v4, -k15, v6
        AXPY v5, v5, -k15, v11
        DOT  k9, v5, v12
        DIV  k15, k9, k11
        AXPY v7, v4, -k15, v7
        AXPY v12, v5, -k15, v12
        DOT  k11, v12, v12
        BLE  k11, k11, -1, stuck
        DOT  k9, v3, v12
        DIV  k15, k9, k11
        AXPY v2, v2, k15, v7
        AXPY v3, v3, -k15, v12
        DIV  k9, k7, k4
        DOT  k7, v3, v3
        BLE  k7, k6, 0, true
        BLE  k9, k7, 6, most2
        DOT  k15, v3, v12
        DIV  k15, k15, k11
        AXPY v2, v2, k15, v7
        AXPY v3, v3, -k15, v12
most2:  BLE  k7, k9, 0, turn3
        BLE  k0, k0, 0, slow

turn3:  SETC c1, 4                  ; into v8, v13, k12
        BLE  k2, k5, 0, limit
        DIV  k5, k5, k3
        INV  v4, v3
        MAT  v5, v0, m0, v4
        DOT  k9, v5, v14
        DIV  k15, k9, k13
        AXPY v4, v4, -k15, v9
        AXPY v5, v5, -k15, v14
        DOT  k9, v5, v15
        DIV  k15, k9, k14
        AXPY v4, v4, -k15, v10
        AXPY v5, v5, -k15, v15
        DOT  k9, v5, v11
        DIV  k15, k9, k10
        AXPY v4, v4, -k15, v6
        AXPY v5, v5, -k15, v11
        DOT  k9, v5, v12
        DIV  k15, k9, k11
        AXPY v4, v4, -k15, v7
        AXPY v5, v5, -k15, v12
        DOT  k9, v5, v13
        DIV  k15, k9, k12
        AXPY v8, v4, -k15, v8
        AXPY v13, v5, -k15, v13
        DOT  k12, v13, v13
        BLE  k12, k12, -1, stuck
        DOT  k9, v3, v13
        DIV  k15, k9, k12
        AXPY v2, v2, k15, v8
        AXPY v3, v3, -k15, v13
        DIV  k9, k7, k4
        DOT  k7, v3, v3
        BLE  k7, k6, 0, true
        BLE  k9, k7, 6, most3
        DOT  k15, v3, v13
        DIV  k15, k15, k12
        AXPY v2, v2, k15, v8
        AXPY v3, v3, -k15, v13
most3:  BLE  k7, k9, 0, turn4
        BLE  k0, k0, 0, slow

turn4:  SETC c1, 4                  ; into v9, v14, k13
        BLE  k2, k5, 0, limit
        DIV  k5, k5, k3
        INV  v4, v3
        MAT  v5, v0, m0, v4
        DOT  k9, v5, v15
        DIV  k15, k9, k14
        AXPY v4, v4, -k15, v10
        AXPY v5, v5, -k15, v15
        DOT  k9, v5, v11
        DIV  k15, k9, k10
        AXPY v4, v4, -k15, v6
        AXPY v5, v5, -k15, v11
        DOT  k9, v5, v12
        DIV  k15, k9, k11
        AXPY v4, v4, -k15, v7
        AXPY v5, v5, -k15, v12
        DOT  k9, v5, v13
        DIV  k15, k9, k12
        AXPY v4, v4, -k15, v8
        AXPY v5, v5, -k15, v13
        DOT  k9, v5, v14
        DIV  k15, k9, k13
        AXPY v9, v4, -k15, v9
        AXPY v14, v5, -k15, v14
        DOT  k13, v14, v14
        BLE  k13, k13, -1, stuck
        DOT  k9, v3, v14
        DIV  k15, k9, k13
        AXPY v2, v2, k15, v9
        AXPY v3, v3, -k15, v14
        DIV  k9, k7, k4
        DOT  k7, v3, v3
        BLE  k7, k6, 0, true
        BLE  k9, k7, 6, most4
        DOT  k15, v3, v14
        DIV  k15, k15, k13
        AXPY v2, v2, k15, v9
        AXPY v3, v3, -k15, v14
most4:  BLE  k7, k9, 0, turn5
        BLE  k0, k0, 0, slow

turn5:  SETC c1, 4                  ; into v10, v15, k14
        BLE  k2, k5, 0, limit
        DIV  k5, k5, k3
        INV  v4, v3
        MAT  v5, v0, m0, v4
        DOT  k9, v5, v11
        DIV  k15, k9, k10
        AXPY v4, v4, -k15, v6
        AXPY v5, v5, -k15, v11
        DOT  k9, v5, v12
        DIV  k15, k9, k11
        AXPY v4, v4, -k15, v7
        AXPY v5, v5, -k15, v12
        DOT  k9, v5, v13
        DIV  k15, k9, k12
        AXPY v4, v4, -k15, v8
        AXPY v5, v5, -k15, v13
        DOT  k9, v5, v14
        DIV  k15, k9, k13
        AXPY v4, v4, -k15, v9
        AXPY v5, v5, -k15, v14
        DOT  k9, v5, v15
        DIV  k15, k9, k14
        AXPY v10, v4, -k15, v10
        AXPY v15, v5, -k15, v15
        DOT  k14, v15, v15
        BLE  k14, k14, -1, stuck
        DOT  k9, v3, v15
        DIV  k15, k9, k14
        AXPY v2, v2, k15, v10
        AXPY v3, v3, -k15, v15
        DIV  k9, k7, k4
        DOT  k7, v3, v3
        BLE  k7, k6, 0, true
        BLE  k9, k7, 6, most5
        DOT  k15, v3, v15
        DIV  k15, k15, k14
        AXPY v2, v2, k15, v10
        AXPY v3, v3, -k15, v15
most5:  BLE  k7, k9, 0, turn1

slow:   LOOP c1, aside
        BLE  k0, k0, 0, true
aside:  BLE  k2, k5, 0, limit
        DIV  k5, k5, k3
        INV  v4, v5
        BLE  k0, k0, 0, on

true:   MAT  v3, v1, -m0, v2
        DOT  k7, v3, v3
        BLE  k7, k6, 0, done
        DIV  k9, k8, k4
        BLE  k9, k7, 0, stuck
        DIV  k8, k7, k0
        BLE  k0, k0, 0, turn1

limit:  HALT 2
stuck:  HALT 3
done:   HALT 0
