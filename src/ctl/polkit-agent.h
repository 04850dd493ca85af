/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An authentication agent on this terminal, for as long as a request may need a password. */
#pragma once

#include <sys/types.h>

#include "common/macro.h"

/* Starts pkttyagent(1) for this process and waits until it is registered. Returns its process, 0 when there is no need
 * (root) or no terminal to ask on, or a negative errno. */
pid_t polkit_agent_start(void);

void polkit_agent_stop(pid_t pid);
