/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this manager's configuration says about reading a module. */

#include "daemon/manager-internal.h"

IngestRequest manager_ingest_request(const Manager *manager, int fd) {
        return (IngestRequest) {
                .root_fd = manager->root_fd,
                .fd = fd,
                .size_max = manager->config->module_size_max,
                .policy = manager->config->signature_policy,
        };
}

IngestRequest manager_ingest_stored(const Manager *manager, const PatchRecord *record, int fd, const char *sha256) {
        IngestRequest request = manager_ingest_request(manager, fd);

        request.keep_file = true;
        request.skip_validity = record->signature_status == SIGNATURE_TRUSTED;
        request.expected_sha256 = sha256;
        return request;
}
