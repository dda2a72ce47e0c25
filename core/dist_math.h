/* SPDX-License-Identifier: MIT */
/* The normal and the gamma distribution, as far as libm lacks them. Pure functions; any thread. */
#ifndef WEIR_CORE_DIST_MATH_H
#define WEIR_CORE_DIST_MATH_H

#include "core/dist.h"

/* The standard normal deviate that a share u is below; -+infinity at 0 and 1. Relative error about
 * 1e-15. */
double weir_dist_normal_quantile(double u);
/* The share above z. */
double weir_dist_normal_above(double z);
double weir_dist_normal_density(double z);

/* The shares of a gamma distribution with scale 1 below and above x, each with all its digits. */
double weir_dist_gamma_below(double shape, double x);
double weir_dist_gamma_above(double shape, double x);
/* Shapes 0.05 ... 10000. Some 0.1 ms. */
void weir_dist_gamma_nodes(struct weir_dist_node nodes[WEIR_DIST_NODES], double shape);
/* The deviate of the same share as the normal deviate z, with a relative error below 1e-6. */
double weir_dist_gamma_at(const struct weir_dist_node nodes[WEIR_DIST_NODES], double z);

#endif
