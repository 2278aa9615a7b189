/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LAB_HIBERNATION_H
#define LAB_HIBERNATION_H

/* Resumes what has hibernated to the first virtio disk, whose driver is loaded, or else hibernates; returns when that was resumed. */
void hibernate(void);

#endif
