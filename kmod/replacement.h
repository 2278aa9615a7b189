/* SPDX-License-Identifier: GPL-2.0-only */
/* What runs in place of KVM's functions, in the threads of the VMM. */
#ifndef LACUNA_REPLACEMENT_H
#define LACUNA_REPLACEMENT_H

#include "hook.h"

extern const struct lac_replacement lac_replacements[LAC_HOOKS];

#endif
