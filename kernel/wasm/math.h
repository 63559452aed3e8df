/* Whoever loads the module brings JavaScript's Math. */

#ifndef MATH_H
#define MATH_H

__attribute__((import_module("Math"), import_name("exp"))) double exp(double x);

#endif
