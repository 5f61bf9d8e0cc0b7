; gcr for one right-hand side after another: each comes in by the stream, its solution goes out by the stream.
;
; The arrays are written once. While one is solved, the next waits in the input buffer. A right-hand side of zero ends
; the batch; its solution is known. At the first that is not solved the program stops, with the solutions before it sent
; and with what it found of this one in v2.
;
;   host loads   m0 = M   codes   k1 = 1/tolerance^2   k2 = 2^limit a right-hand side, limit at most 500   k3 = 1/2
;                k4 = 8/7
;   streams      in: b, b, ..., 0   out: x, x, ...
;   results      k5 = 2^iterations of the last   k12 = 2^iterations of the longest
;   inside       as gcr: v1 = b   v2 = x   v3 = r   v4 = z   v5 = w   v6 = p   v7 = q   k6 = wanted ||r||^2
;                k7 = ||r||^2   k8 = true ||r||^2 when last computed   k9 = <w, q>, <r, q>, ||r||^2 that is slow
;                k10 = <q, q>   k11 = beta, alpha   c1 = slow turns left
;   halts        0 done, all solved   2 limit   3 stagnated, as gcr
        PROG
        DIV  k12, k0, k0

next:   LD   v1
        AXPY v3, v0, k0, v1         ; r = b
        DOT  k7, v3, v3
        BLE  k7, k7, -1, end        ; b = 0
        AXPY v2, v0, k0, v0         ; x = p = q = 0
        AXPY v6, v0, k0, v0
        AXPY v7, v0, k0, v0
        DIV  k6, k7, k1
        DIV  k8, k7, k0
        DIV  k10, k0, k0            ; the first beta is 0 / 1
        DIV  k5, k0, k0             ; no iterations yet

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

done:   ST   v2
        BLE  k5, k12, 0, next
        DIV  k12, k5, k0
        BLE  k0, k0, 0, next

limit:  HALT 2
stuck:  HALT 3
end:    HALT 0
