# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab: boots an emulated AMD machine, runs KVM guests in it under Lacuna, and judges the result."""
