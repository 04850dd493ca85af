/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --host= for what the bus connection over SSH cannot carry: files, whose descriptors stay on this machine. */
#pragma once

#include "ctl/options.h"

/* Runs 'ssh HOST COMMAND...' with input_fd (if not negative) as its standard input. Words are given to the remote shell
 * as they are: they must have been checked. Returns the command's exit code; 1 for one that livepatchctl never has. */
int remote_run(const Options *o, int input_fd, char *const *command);

/* Runs a verb with one local file on the remote machine: 'livepatchctl WORDS... -' there, the file on its standard
 * input. files must hold exactly one. Returns an exit code. */
int remote_run_with_file(const Options *o, char *const *words, char *const *files);
