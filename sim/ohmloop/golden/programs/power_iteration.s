; The smallest eigenvalue of M and its eigenvector, by inverse iteration through the loop.
;
;   theta = <v, M v> / <v, v>        r = M v - theta v        v -= INV r
;
; Were INV the inverse of M, the last step would be v = theta M^-1 v. The loop knows M to a few bits; correcting v by
; the residual, which is exact to 24, ends at the eigenvector of M all the same, where v = INV v ends at that of the
; codes. The largest eigenvalue would take products alone; the smallest is what a loop is for, and 1 / theta is the norm
; of the inverse. For symmetric M with positive eigenvalues; theta sinks to the smallest as long as INV is better than
; nothing. v keeps its length, and every sum brings the largest mantissa back to full scale.
;
;   host loads   v1 = start   m0 = M   codes   k1 = 1/tolerance^2   k2 = 2^limit, limit at most 500   k3 = 1/2
;   results      v2 = v   k5 = 2^iterations   k7 = ||r||^2   k8 = ||M v||^2   k12 = theta
;   inside       v3 = M v   v4 = r   v5 = INV r   k6 = wanted ||r||^2   k9 = <v, M v>   k10 = <v, v>
;   halts        0 done, ||r|| <= tolerance ||M v||   2 limit   3 v is zero, at the start or by what the loop answered
        PROG
        AXPY v2, v0, k0, v1
        DIV  k5, k0, k0             ; no iterations yet

again:  MAT  v3, v0, m0, v2
        DOT  k9, v2, v3
        DOT  k10, v2, v2
        BLE  k10, k10, -1, zero
        DIV  k12, k9, k10
        AXPY v4, v3, -k12, v2
        DOT  k7, v4, v4
        DOT  k8, v3, v3
        DIV  k6, k8, k1
        BLE  k7, k6, 0, done
        BLE  k2, k5, 0, limit
        DIV  k5, k5, k3             ; one more
        INV  v5, v4
        AXPY v2, v2, -k0, v5
        BLE  k0, k0, 0, again

limit:  HALT 2
zero:   HALT 3
done:   HALT 0
