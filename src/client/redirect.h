/* Redirect: struct redirect_msg (include/minikv/redirect.h) as it is read from an HTTP reply. */
#ifndef MINIKV_CLIENT_REDIRECT_H
#define MINIKV_CLIENT_REDIRECT_H

#include "client/http_reply.h"
#include "minikv/redirect.h"

void redirect_read(const struct http_reply *reply, struct redirect_msg *out_message);

#endif
