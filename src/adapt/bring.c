#include "adapt/house.h"
#include "base/alloc.h"
#include "base/aside.h"
#include "base/log.h"

#define MAX_LOADS 4                 // on the pool at once
#define LARGE     ((size_t)4 << 20) // bytes whose load would hold up steps

// Bringing one version to the device, on the pool. One that is left meanwhile ends with the load.
struct resident_load {
        uv_work_t work;
        struct residence *residence;
        enum dyn_status status;
        struct dyn_error error;
        void (*gone)(void *ctx);
        void *ctx;
        struct resident_load *next; // in the house's list
};

static void bring(void *arg)
{
        struct resident_load *l = arg;

        l->status = version_to_device(l->residence->adapter, &l->error);
}

static void work(uv_work_t *req)
{
        const struct resident_load *l = req->data;

        if (l->residence->adapter->info.bytes < LARGE)
                bring(req->data);
        else
                aside_run(bring, req->data);
}

static void unlink_load(struct resident *h, struct resident_load *l)
{
        struct resident_load **at = &h->loads;

        while (*at != l)
                at = &(*at)->next;
        *at = l->next;
        l->residence->load = NULL;
        h->n_loads--;
}

static void after(uv_work_t *req, int cancelled)
{
        struct resident_load *l = req->data;
        struct residence *r = l->residence;
        struct resident *h = r->house;

        if (cancelled)
                l->status = dyn_fail(&l->error, DYN_BUSY, "the server is stopping");
        unlink_load(h, l);
        // Read from its folder, it is on the host now as well.
        if (r->adapter->files != NULL && !r->on_host) {
                r->on_host = true;
                h->totals.host_bytes += r->adapter->files_bytes;
        }
        if (l->status == DYN_OK) {
                h->totals.loads++;
        } else {
                r->on_device = false;
                r->refused = true;
                h->totals.device_bytes -= r->adapter->info.bytes;
                if (!cancelled)
                        log_warn("adapter %s: %s", r->adapter->info.name, l->error.text);
        }
        if (r->leaving)
                resident_leave(r, l->gone, l->ctx);
        else
                resident_brought(r, l->status, &l->error);
        mem_free(l);
        room_trim_host(h);
}

void bring_load(struct residence *r)
{
        struct resident *h = r->house;
        struct resident_load *l = mem_zalloc(sizeof *l);

        l->work.data = l;
        l->residence = r;
        l->next = h->loads;
        h->loads = r->load = l;
        r->on_device = true;
        h->n_loads++;
        h->totals.device_bytes += r->adapter->info.bytes;
        uv_queue_work(h->o.loop, &l->work, work, after);
}

bool bring_possible(const struct resident *h)
{
        return h->n_loads < MAX_LOADS && !h->stopping;
}

void bring_leave(struct residence *r, void (*gone)(void *ctx), void *ctx)
{
        r->load->gone = gone;
        r->load->ctx = ctx;
}

void bring_cancel_all(struct resident *h)
{
        for (struct resident_load *l = h->loads; l != NULL; l = l->next)
                uv_cancel((uv_req_t *)&l->work);
}
