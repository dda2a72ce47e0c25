/* SPDX-License-Identifier: MIT */
/** Everything. Or include the capability you use. */
#ifndef WEIR_H
#define WEIR_H

#include <weir/base.h>
#include <weir/batch.h>
#include <weir/client.h>
#include <weir/dist.h>
#include <weir/engine.h>
#include <weir/fetch.h>
#include <weir/group.h>
#include <weir/hist.h>
#include <weir/http1.h>
#include <weir/json.h>
#include <weir/random.h>
#include <weir/server.h>
#include <weir/sse.h>
#include <weir/timer.h>
#include <weir/tls.h>
#include <weir/units.h>
#include <weir/url.h>

#endif
