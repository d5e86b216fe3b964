/*
 * Mixer of a virtual sound card: ALSA external control plugin of type "ptt".
 *
 * alsa-lib and its simple mixer above it are the real ones; below it is the text file
 * DIR/CARD.mixer, one control in a line, separated by '|':
 *
 *   name | value | minimum | maximum | dB at the minimum | dB of one step
 *
 * A step of 0 dB: the driver says nothing about decibels. From 0 to 1: a switch. The file is
 * read and written anew by each access, so a test may change it meanwhile.
 *
 *   ctl_type.ptt { lib "/somewhere/ctl_ptt.so" }
 *   ctl.hw {
 *       @args [ CARD ]
 *       @args.CARD { type string }
 *       type ptt
 *       dir "/tmp/cards"
 *       card $CARD
 *   }
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <alsa/asoundlib.h>
#include <alsa/control_external.h>

#define MAX_CONTROLS 16

struct control {
    char name[44];
    long value, min, max;
    double min_db, step_db;
};

struct mixer {
    snd_ctl_ext_t ext;
    char path[PATH_MAX];
    int count;
    struct control controls[MAX_CONTROLS];
};

static int load(struct mixer *m)
{
    FILE *file = fopen(m->path, "re");
    if (!file)
        return -errno;
    m->count = 0;
    while (m->count < MAX_CONTROLS) {
        struct control *c = &m->controls[m->count];
        int got = fscanf(file, " %43[^|]|%ld|%ld|%ld|%lf|%lf", c->name, &c->value, &c->min,
                         &c->max, &c->min_db, &c->step_db);
        if (got != 6)
            break;
        m->count++;
    }
    fclose(file);
    return 0;
}

static int store(struct mixer *m)
{
    char scratch[PATH_MAX + 8];
    snprintf(scratch, sizeof scratch, "%s.new", m->path);
    FILE *file = fopen(scratch, "we");
    if (!file)
        return -errno;
    for (int i = 0; i < m->count; i++) {
        struct control *c = &m->controls[i];
        fprintf(file, "%s|%ld|%ld|%ld|%.2f|%.2f\n", c->name, c->value, c->min, c->max, c->min_db,
                c->step_db);
    }
    fclose(file);
    return rename(scratch, m->path) ? -errno : 0;
}

static void do_close(snd_ctl_ext_t *ext)
{
    struct mixer *m = ext->private_data;
    close(ext->poll_fd);
    free(m);
}

static int elem_count(snd_ctl_ext_t *ext)
{
    return ((struct mixer *)ext->private_data)->count;
}

static int elem_list(snd_ctl_ext_t *ext, unsigned int offset, snd_ctl_elem_id_t *id)
{
    struct mixer *m = ext->private_data;
    snd_ctl_elem_id_set_interface(id, SND_CTL_ELEM_IFACE_MIXER);
    snd_ctl_elem_id_set_name(id, m->controls[offset].name);
    return 0;
}

static snd_ctl_ext_key_t find_elem(snd_ctl_ext_t *ext, const snd_ctl_elem_id_t *id)
{
    struct mixer *m = ext->private_data;
    unsigned numid = snd_ctl_elem_id_get_numid(id);
    if (numid > 0 && numid <= (unsigned)m->count)
        return numid - 1;
    for (int i = 0; i < m->count; i++)
        if (!strcmp(snd_ctl_elem_id_get_name(id), m->controls[i].name))
            return i;
    return SND_CTL_EXT_KEY_NOT_FOUND;
}

static int get_attribute(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, int *type,
                         unsigned int *access, unsigned int *count)
{
    struct control *c = &((struct mixer *)ext->private_data)->controls[key];
    int is_switch = c->min == 0 && c->max == 1;
    *type = is_switch ? SND_CTL_ELEM_TYPE_BOOLEAN : SND_CTL_ELEM_TYPE_INTEGER;
    *access = SND_CTL_EXT_ACCESS_READWRITE;
    if (c->step_db > 0)
        *access |= SND_CTL_EXT_ACCESS_TLV_READ | SND_CTL_EXT_ACCESS_TLV_CALLBACK;
    *count = 1;
    return 0;
}

static int get_integer_info(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *min, long *max,
                            long *step)
{
    struct control *c = &((struct mixer *)ext->private_data)->controls[key];
    *min = c->min;
    *max = c->max;
    *step = 0;
    return 0;
}

static int read_integer(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *value)
{
    struct mixer *m = ext->private_data;
    int error = load(m);
    if (error < 0)
        return error;
    *value = m->controls[key].value;
    return 0;
}

static int write_integer(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, long *value)
{
    struct mixer *m = ext->private_data;
    int error = load(m);
    if (error < 0)
        return error;
    m->controls[key].value = *value;
    error = store(m);
    return error < 0 ? error : 1;
}

static int tlv(snd_ctl_ext_t *ext, snd_ctl_ext_key_t key, int op_flag, unsigned int numid,
               unsigned int *data, unsigned int size)
{
    struct control *c = &((struct mixer *)ext->private_data)->controls[key];
    (void)numid;
    if (op_flag || size < 4 * sizeof *data)
        return -EINVAL;
    data[0] = SND_CTL_TLVT_DB_SCALE;
    data[1] = 2 * sizeof *data;
    data[2] = (unsigned)(int)(c->min_db * 100);
    data[3] = (unsigned)(c->step_db * 100);
    return 0;
}

static int read_event(snd_ctl_ext_t *ext, snd_ctl_elem_id_t *id, unsigned int *event_mask)
{
    (void)ext, (void)id, (void)event_mask;
    return -EAGAIN;
}

static const snd_ctl_ext_callback_t callbacks = {
    .close = do_close,
    .elem_count = elem_count,
    .elem_list = elem_list,
    .find_elem = find_elem,
    .get_attribute = get_attribute,
    .get_integer_info = get_integer_info,
    .read_integer = read_integer,
    .write_integer = write_integer,
    .read_event = read_event,
};

SND_CTL_PLUGIN_DEFINE_FUNC(ptt)
{
    const char *dir = NULL, *card = NULL;
    (void)root;
    snd_config_t *node;
    if (snd_config_search(conf, "dir", &node) < 0 || snd_config_get_string(node, &dir) < 0)
        return -EINVAL;
    if (snd_config_search(conf, "card", &node) < 0 || snd_config_get_string(node, &card) < 0)
        return -EINVAL;
    struct mixer *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    snprintf(m->path, sizeof m->path, "%s/%s.mixer", dir, card);
    int error = load(m);
    if (error == -ENOENT)
        error = -ENODEV;
    if (error < 0) {
        free(m);
        return error;
    }
    m->ext.version = SND_CTL_EXT_VERSION;
    strcpy(m->ext.driver, "ptt");
    snprintf(m->ext.id, sizeof m->ext.id, "%s", card);
    strcpy(m->ext.name, "virtual card");
    strcpy(m->ext.longname, "virtual card");
    strcpy(m->ext.mixername, "virtual card");
    m->ext.poll_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    m->ext.callback = &callbacks;
    m->ext.private_data = m;
    m->ext.tlv.c = tlv;
    error = snd_ctl_ext_create(&m->ext, name, mode);
    if (error < 0) {
        close(m->ext.poll_fd);
        free(m);
        return error;
    }
    *handlep = m->ext.handle;
    return 0;
}

SND_CTL_PLUGIN_SYMBOL(ptt);
