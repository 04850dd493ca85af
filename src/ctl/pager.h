/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Long output goes through the user's pager. */
#pragma once

/* Shows text in a pager and waits until it is left. Negative errno when there is none to be used: nothing has been
 * shown then. */
int pager_show(const char *text);
