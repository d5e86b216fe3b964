/*
 * Virtual USB sound card: ALSA external I/O plugin of type "ptt".
 *
 * alsa-lib and PortAudio above it are the real ones; below it are three plain files in the
 * card's directory, all raw little-endian 16-bit mono at the card's first rate, all indexed by
 * absolute time, so that sample n belongs to the moment epoch_ns + n / rate:
 *
 *   stimulus.raw   what there is to hear for the microphone; read when its moment has passed,
 *                  so a test may write ahead of time while the card runs
 *   heard.raw      what left the speaker; silence is not written (holes read as zeros)
 *   shared         struct shared below, in shared memory: what is counted, and what steers the card
 *
 *   pcm_type.ptt { lib "/somewhere/pcm_ptt.so" }
 *   pcm."USB PnP Sound Device" {
 *       type ptt
 *       dir "/tmp/card"          # required: the card's directory
 *       epoch_ns "123456789"     # required: CLOCK_MONOTONIC at sample 0; a string, it is 64 bit
 *       rates [ 48000 ]          # rates the card can do; the first is that of the files
 *       capture_rates [ 16000 ]  # rates of the microphone only; if not given, those above
 *       playback_rates [ 48000 ] # rates of the speaker only
 *       format S16_LE            # or S24_3LE, S32_LE
 *       capture_channels 1       # 0: the card has no microphone
 *       playback_channels 2      # 0: the card has no speaker
 *       ppm 0.0                  # how much faster than nominal the card's clock runs
 *       loop no                  # start the stimulus again at its end
 *       echo_gain 0.0            # how much of the speaker the microphone hears ...
 *       echo_ms 20               # ... and after how long; more than the speaker's buffer
 *       is_alias no              # cannot be opened unless argument is given, which a name like
 *       argument $A              # "card: Audio (hw:1,0)" does: ALSA takes what follows the colon
 *   }
 *
 * How the clock works. A USB host speaks to the card once in a millisecond, so the clock is
 * counted in ticks of 1 ms since the epoch. At tick t the card's clock has made
 * floor(t * rate * (1 + ppm / 1e6) / 1000) frames. All pointers are derived from that and from
 * nothing else: there is no thread and no state of earlier queries.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>

#define TICK_NS 1000000LL /* one USB frame */
#define CHUNK 1024        /* frames handled at once; any number will do */
#define MAX_RATES 8
#define MAX_RATIO 6       /* between the rate of the files and any other: 48 kHz and 8 kHz */

/* Shared with Python's struct module: 64-bit numbers. [0] capture, [1] playback. An xrun is an
 * overrun of the microphone or an underrun of the speaker. All from is_unplugged on are the
 * tests' to write, at any time; asking for a file's existence instead would cost as much as all
 * the rest. */
struct shared {
    _Atomic int64_t xruns[2], starts[2], frames[2];
    _Atomic int64_t is_unplugged, is_stalled;
    _Atomic int64_t open_errno[2];   /* opening this direction fails with this error */
    _Atomic int64_t openable_at_ns;  /* before this time of CLOCK_MONOTONIC: -EACCES */
    _Atomic int64_t open_ms;         /* duration of an open */
    _Atomic int64_t start_errno;     /* starting a stream fails with this error */
    _Atomic int64_t is_start_stuck;  /* starting these directions does not return: 1 microphone, 2 speaker */
    _Atomic int64_t is_error_loop;   /* nor does stopping while the card is unplugged */
    _Atomic int64_t is_dead[2];      /* the clock of this direction stands still */
    _Atomic int64_t silent_channels; /* bit mask of the microphone's channels: exact zeros */
    _Atomic int64_t is_crashing;     /* a running stream ends its process by a segmentation fault */
};

/* A card as this process sees it, shared by its microphone and its speaker so that both agree
 * on every tick. Never freed: there are few, and a stream may come back at any time. */
struct card {
    struct card *next;
    char dir[PATH_MAX - 32]; /* room for the longest file name in it */
    int64_t now_tick;        /* the latest one queried */
    int64_t frozen_tick;     /* tick at which the stall began; 0 while running */
    int64_t lost_ticks;      /* all ticks that passed during stalls */
    int is_gone;             /* unplugged at the moment */
    int64_t start_tick[2];   /* latest start of each direction */
};
static struct card *cards;
static pthread_mutex_t cards_lock = PTHREAD_MUTEX_INITIALIZER;

/* One open direction of a card. */
struct stream {
    snd_pcm_ioplug_t io;
    struct card *card;
    int is_playback;
    int64_t epoch_ns;
    unsigned rates[MAX_RATES], rates_n, own_rates[MAX_RATES], own_rates_n, channels;
    snd_pcm_format_t format; /* little-endian: the upper 16 bit of a sample are its last bytes */
    unsigned sample_bytes;
    double ppm, echo_gain;
    long echo_ms;
    int is_looped, is_alias, has_argument;
    int timer_fd, air_fd, heard_fd, lock_fd; /* air: what the microphone hears */
    struct shared *shared;
    snd_pcm_uframes_t avail_min, stop_threshold;
    int is_lost;        /* was unplugged under us: nothing revives a handle, as with a real card */
    int64_t start;      /* clock frame (stalls taken out) of stream frame 0 */
    int64_t gap;        /* clock frames lost in stalls: where we are in absolute time */
    int64_t hw;         /* stream frames the card has taken or given */
    int64_t armed_ns;   /* what the timer is set to; 0: unknown */
    int64_t heard_next; /* next sample of heard.raw to write; -1: not known yet */
    int16_t past[4];    /* the last four frames played, for interpolation */
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The tick of now with stalls taken out. */
static int64_t running_tick(struct stream *s)
{
    struct card *card = s->card;
    int64_t tick = (now_ns() - s->epoch_ns) / TICK_NS;
    pthread_mutex_lock(&cards_lock);
    if (tick > card->now_tick)
        card->now_tick = tick;
    card->is_gone = s->shared->is_unplugged != 0;
    if (s->shared->is_stalled && !card->frozen_tick)
        card->frozen_tick = tick;
    if (!s->shared->is_stalled && card->frozen_tick) {
        card->lost_ticks += tick - card->frozen_tick;
        card->frozen_tick = 0;
    }
    tick = (card->frozen_tick ? card->frozen_tick : card->now_tick) - card->lost_ticks;
    pthread_mutex_unlock(&cards_lock);
    return tick;
}

static double frames_per_s(const struct stream *s)
{
    return s->io.rate * (1.0 + s->ppm / 1e6);
}

static int64_t frames_at(const struct stream *s, int64_t tick)
{
    return (int64_t)floor((double)tick * frames_per_s(s) / 1000.0);
}

/* Clock frames per sample of the files: 1 unless the clock is off or the rate is not the
 * files' rate. Then sound is interpolated (Catmull-Rom), as a real converter would hear it. */
static double ratio(const struct stream *s)
{
    return frames_per_s(s) / s->rates[0];
}

static int16_t sample(double y)
{
    long rounded = (long)(y < 0 ? y - 0.5 : y + 0.5);
    return (int16_t)(rounded < -32768 ? -32768 : rounded > 32767 ? 32767 : rounded);
}

static int16_t between(const int16_t *p, double x)
{
    double a = p[0], b = p[1], c = p[2], d = p[3];
    double y = b + 0.5 * x * (c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a)));
    return sample(y);
}

/* Samples of a file from any index on; what is not there is silence. */
static void samples_of(int fd, int is_looped, int64_t index, int16_t *to, int64_t n)
{
    struct stat st;
    int64_t len;
    memset(to, 0, (size_t)n * 2);
    if (fd < 0)
        return;
    if (index < 0) {
        int64_t skip = -index < n ? -index : n;
        index += skip, to += skip, n -= skip;
    }
    if (!is_looped) {
        if (n > 0 && pread(fd, to, (size_t)n * 2, index * 2) < 0)
            return;
        return;
    }
    if (fstat(fd, &st) < 0 || (len = st.st_size / 2) == 0)
        return;
    while (n > 0) {
        int64_t at = index % len, part = len - at < n ? len - at : n;
        if (pread(fd, to, (size_t)part * 2, at * 2) < 0)
            return;
        index += part, to += part, n -= part;
    }
}

/* What the microphone hears in the air during clock frames [first, first + n); n <= CHUNK. */
static void listen(struct stream *s, int64_t first, int16_t *to, int n)
{
    int16_t air[MAX_RATIO * CHUNK + 8], echo[MAX_RATIO * CHUNK + 8];
    double r = ratio(s), per_frame = 1.0 / r;
    int64_t from = (int64_t)((double)first * per_frame) - 1;
    int64_t until = (int64_t)((double)(first + n - 1) * per_frame) + 3;
    int64_t len = until - from < MAX_RATIO * CHUNK + 8 ? until - from : MAX_RATIO * CHUNK + 8;

    samples_of(s->air_fd, s->is_looped, from, air, len);
    if (s->echo_gain != 0) {
        samples_of(s->heard_fd, 0, from - s->echo_ms * s->rates[0] / 1000, echo, len);
        for (int i = 0; i < len; i++)
            air[i] = sample(air[i] + s->echo_gain * echo[i]);
    }
    if (r == 1.0) {
        memcpy(to, air + 1, (size_t)n * 2);
        return;
    }
    for (int i = 0; i < n; i++) {
        double at = (double)(first + i) * per_frame;
        int64_t whole = (int64_t)at; /* never negative; floor() would be a call */
        to[i] = between(air + whole - from - 1, at - (double)whole);
    }
}

static void write_heard(struct stream *s, const int16_t *samples, int64_t index, int n)
{
    int is_silent = 1;
    for (int i = 0; i < n && is_silent; i++)
        is_silent = samples[i] == 0;
    if (!is_silent && index >= 0 && pwrite(s->heard_fd, samples, (size_t)n * 2, index * 2) < 0)
        fprintf(stderr, "pcm_ptt: cannot write heard.raw: %s\n", strerror(errno));
}

/* The recording: n frames leave the speaker at clock frames [first, first + n); n <= CHUNK. Two
 * frames of look-ahead are needed to interpolate, so the file lags behind by that much. */
static void hear(struct stream *s, int64_t first, const int16_t *frames, int n)
{
    int16_t out[MAX_RATIO * CHUNK + 8];
    int64_t index;
    int len = 0;
    double r = ratio(s);

    if (r == 1.0) {
        write_heard(s, frames, first, n);
        return;
    }
    if (s->heard_next < 0)
        s->heard_next = (int64_t)ceil((double)first / r);
    index = s->heard_next;
    for (int64_t k = first; k < first + n; k++) {
        for (int i = 0; i < 3; i++)
            s->past[i] = s->past[i + 1];
        s->past[3] = frames[k - first];
        for (;;) { /* past is now frames k - 3 ... k */
            double at = (double)s->heard_next * r - (double)(k - 2);
            if (at >= 1.0 || len >= (int)(sizeof out / sizeof *out))
                break;
            if (at < 0.0)
                at = 0.0;
            out[len] = at == 0.0 ? s->past[1] : between(s->past, at);
            len++;
            s->heard_next++;
        }
    }
    write_heard(s, out, index, len);
}

/* Nothing follows for now: push the two frames that wait for interpolation out of the speaker. */
static void fall_silent(struct stream *s)
{
    static const int16_t silence[2];
    if (s->is_playback && s->heard_next >= 0)
        hear(s, s->start + s->gap + s->hw, silence, 2);
    memset(s->past, 0, sizeof s->past);
    s->heard_next = -1;
}

/* The upper 16 bit of a sample in the card's format. */
static int16_t loaded(const struct stream *s, const unsigned char *at)
{
    at += s->sample_bytes - 2;
    return (int16_t)(at[0] | at[1] << 8);
}

static void store(const struct stream *s, unsigned char *at, int16_t value)
{
    memset(at, 0, s->sample_bytes - 2);
    at += s->sample_bytes - 2;
    at[0] = (unsigned char)(value & 0xff);
    at[1] = (unsigned char)((uint16_t)value >> 8);
}

/* Move n frames between the ring buffer that the application maps and the air. */
static void transfer_frames(struct stream *s, int64_t n)
{
    const snd_pcm_channel_area_t *area = snd_pcm_ioplug_mmap_areas(&s->io);
    int16_t mono[CHUNK];
    unsigned char *ring = area ? (unsigned char *)area->addr : NULL;
    unsigned ch = s->channels, width = s->sample_bytes;
    int64_t silent = s->shared->silent_channels;
    int64_t gap = frames_at(s, s->card->lost_ticks);

    if (gap != s->gap) { /* a stall leaves a gap in absolute time, it does not shift it */
        fall_silent(s);
        s->gap = gap;
    }
    atomic_fetch_add(&s->shared->frames[s->is_playback], n);
    while (ring && n > 0) {
        int64_t at = s->hw % (int64_t)s->io.buffer_size;
        int64_t part = (int64_t)s->io.buffer_size - at;
        part = part < n ? part : n;
        part = part < CHUNK ? part : CHUNK;
        unsigned char *frame = ring + at * ch * width;
        if (s->is_playback) {
            for (int i = 0; i < part; i++, frame += ch * width) {
                int sum = 0; /* the recording is the mean of the channels */
                for (unsigned c = 0; c < ch; c++)
                    sum += loaded(s, frame + c * width);
                mono[i] = (int16_t)(sum / (int)ch);
            }
            hear(s, s->start + s->gap + s->hw, mono, (int)part);
        } else {
            listen(s, s->start + s->gap + s->hw, mono, (int)part);
            for (int i = 0; i < part; i++)
                for (unsigned c = 0; c < ch; c++, frame += width)
                    store(s, frame, silent >> c & 1 ? 0 : mono[i]);
        }
        s->hw += part;
        n -= part;
    }
}

/* Bring the card's state up to date since the last call. Returns -EPIPE after an xrun. Called
 * before the application's pointer moves and whenever anybody asks where the card is. */
static int catch_up(struct stream *s)
{
    int64_t appl = (int64_t)s->io.appl_ptr, size = (int64_t)s->io.buffer_size, most, n;
    int is_draining = s->io.state == SND_PCM_STATE_DRAINING;

    if (s->io.state != SND_PCM_STATE_RUNNING && !is_draining)
        return 0;
    if (s->shared->is_crashing)
        raise(SIGSEGV);
    n = frames_at(s, running_tick(s)) - s->start - s->hw;
    if (s->card->is_gone || s->is_lost) {
        if (!s->is_lost)
            fall_silent(s);
        s->is_lost = 1; /* the pointer freezes; the application learns of it when it polls */
        return 0;
    }
    if (n <= 0 || s->shared->is_dead[s->is_playback])
        return 0;
    /* Frames until the buffer is empty (speaker) or full (microphone). */
    most = s->is_playback ? appl - s->hw : size - (s->hw - appl);
    if (is_draining && n >= most) {
        transfer_frames(s, most);
        return 0;
    }
    if (n < most || s->stop_threshold > (snd_pcm_uframes_t)size) {
        transfer_frames(s, n);
        return 0;
    }
    transfer_frames(s, most > 0 ? most : 0);
    fall_silent(s);
    atomic_fetch_add(&s->shared->xruns[s->is_playback], 1);
    snd_pcm_ioplug_set_state(&s->io, SND_PCM_STATE_XRUN);
    return -EPIPE;
}

/* Set the timer, which is what the application polls, to the tick at which avail_min frames are
 * there. Called before each poll; no other wake-ups exist. */
static void arm(struct stream *s)
{
    int64_t wanted = 1; /* in the past: the application must poll now */
    if (s->io.state == SND_PCM_STATE_RUNNING || s->io.state == SND_PCM_STATE_DRAINING) {
        int64_t now = now_ns(), lost, frame = (int64_t)s->io.appl_ptr, tick;
        if (s->is_playback && s->io.state == SND_PCM_STATE_RUNNING)
            frame += (int64_t)s->avail_min - (int64_t)s->io.buffer_size;
        else if (!s->is_playback)
            frame += (int64_t)s->avail_min;
        tick = (int64_t)((double)(s->start + frame) * 1000.0 / frames_per_s(s));
        while (frames_at(s, tick) < s->start + frame)
            tick++;
        lost = s->card->lost_ticks;
        wanted = s->epoch_ns + (tick + lost) * TICK_NS;
        if (wanted <= now && (s->shared->is_dead[s->is_playback] ||
                              frames_at(s, running_tick(s)) < s->start + frame))
            wanted = now + 5 * TICK_NS; /* stalled: poll again later */
    } else if (s->io.state == SND_PCM_STATE_PREPARED && !s->is_playback) {
        wanted = LLONG_MAX / 2; /* a microphone that was not started never has anything */
    }
    if (s->is_lost)
        wanted = 1;
    if (wanted == s->armed_ns && wanted > now_ns())
        return;
    struct itimerspec spec = {.it_value = {.tv_sec = wanted / 1000000000LL,
                                           .tv_nsec = wanted % 1000000000LL}};
    timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    s->armed_ns = wanted;
}

/* The application is about to sleep, or has just been woken: now it may learn that the card is
 * gone. (Not before: a real card is found missing by poll, too, so PortAudio's callbacks just
 * stop and its thread spins.) */
static snd_pcm_sframes_t look(struct stream *s)
{
    snd_pcm_sframes_t avail = snd_pcm_avail_update(s->io.pcm);
    if (s->is_lost)
        snd_pcm_ioplug_set_state(&s->io, SND_PCM_STATE_DISCONNECTED);
    return avail;
}

static int ptt_poll_descriptors_count(snd_pcm_ioplug_t *io)
{
    (void)io;
    return 1;
}

static int ptt_poll_descriptors(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned space)
{
    struct stream *s = io->private_data;
    if (space < 1)
        return 0;
    arm(s);
    *fds = (struct pollfd){.fd = s->timer_fd, .events = POLLIN};
    return 1;
}

static int ptt_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned n,
                            unsigned short *revents)
{
    struct stream *s = io->private_data;
    snd_pcm_sframes_t avail = look(s);
    unsigned short ready = s->is_playback ? POLLOUT : POLLIN;
    (void)fds, (void)n;
    *revents = 0;
    if (io->state == SND_PCM_STATE_DISCONNECTED)
        *revents = ready | POLLERR | POLLNVAL;
    else if (io->state == SND_PCM_STATE_XRUN)
        *revents = ready | POLLERR;
    else if (io->state == SND_PCM_STATE_RUNNING || io->state == SND_PCM_STATE_PREPARED)
        *revents = avail >= (snd_pcm_sframes_t)s->avail_min ? ready : 0;
    else if (io->state != SND_PCM_STATE_DRAINING)
        *revents = ready; /* drained */
    if (*revents == 0)
        arm(s);
    return 0;
}

static snd_pcm_sframes_t ptt_pointer(snd_pcm_ioplug_t *io)
{
    struct stream *s = io->private_data;
    return catch_up(s) < 0 ? -EPIPE : (snd_pcm_sframes_t)s->hw;
}

/* Called before new frames count as written: late ones must not fill a hole of the past. */
static snd_pcm_sframes_t ptt_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
                                      snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
    struct stream *s = io->private_data;
    (void)areas, (void)offset;
    if (s->is_playback && catch_up(s) < 0)
        return -EPIPE;
    return (snd_pcm_sframes_t)size;
}

static int ptt_delay(snd_pcm_ioplug_t *io, snd_pcm_sframes_t *delay)
{
    struct stream *s = io->private_data;
    int64_t within = 0; /* frames since the last tick */
    if (io->state == SND_PCM_STATE_XRUN || catch_up(s) < 0)
        return -EPIPE;
    if (io->state == SND_PCM_STATE_RUNNING && !s->card->frozen_tick && !s->is_lost)
        within = (int64_t)((double)((now_ns() - s->epoch_ns) % TICK_NS) * frames_per_s(s) / 1e9);
    *delay = (snd_pcm_sframes_t)(s->is_playback ? (int64_t)io->appl_ptr - s->hw - within
                                                : s->hw + within - (int64_t)io->appl_ptr);
    return 0;
}

/* A USB card starts on the next tick, and its two directions together: if the other one was
 * started within the last 3 ms, this is the second half of a duplex start. (ALSA's
 * snd_pcm_link, which does that for a real card, is not open to plugins.) */
static int ptt_start(snd_pcm_ioplug_t *io)
{
    struct stream *s = io->private_data;
    int64_t tick, other;
    while (s->shared->is_start_stuck & (1 << s->is_playback))
        usleep(10000);
    tick = running_tick(s) + 1;
    if (s->card->is_gone || s->is_lost)
        return -ENODEV;
    if (s->shared->start_errno)
        return -(int)s->shared->start_errno;
    pthread_mutex_lock(&cards_lock);
    other = s->card->start_tick[!s->is_playback];
    if (tick - other <= 3)
        tick = other;
    s->card->start_tick[s->is_playback] = tick;
    pthread_mutex_unlock(&cards_lock);
    s->start = frames_at(s, tick);
    s->gap = frames_at(s, s->card->lost_ticks);
    s->armed_ns = 0;
    atomic_fetch_add(&s->shared->starts[s->is_playback], 1);
    return 0;
}

/* Some drivers fail again and again while their card is away, and PortAudio with them: it does
 * not return, and writes a line about each failure. */
static void loop_on_errors(const struct stream *s)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    while (s->is_lost && s->shared->is_error_loop && s->shared->is_unplugged)
        fputs("Expression 'err' failed in 'pcm_ptt.c', line: 1\n", stderr);
    pthread_setcancelstate(before, NULL);
}

static int ptt_stop(snd_pcm_ioplug_t *io)
{
    struct stream *s = io->private_data;
    loop_on_errors(s);
    if (io->state == SND_PCM_STATE_RUNNING)
        (void)catch_up(s);
    fall_silent(s);
    s->armed_ns = 0;
    return 0;
}

static int ptt_prepare(snd_pcm_ioplug_t *io)
{
    struct stream *s = io->private_data;
    (void)running_tick(s);
    if (s->card->is_gone || s->is_lost)
        return -ENODEV;
    fall_silent(s);
    s->hw = 0;
    s->armed_ns = 0;
    return 0;
}

static int ptt_hw_params(snd_pcm_ioplug_t *io, snd_pcm_hw_params_t *params)
{
    struct stream *s = io->private_data;
    (void)params;
    (void)running_tick(s);
    s->avail_min = io->period_size;
    s->stop_threshold = io->buffer_size;
    return s->card->is_gone ? -ENODEV : 0;
}

static int ptt_sw_params(snd_pcm_ioplug_t *io, snd_pcm_sw_params_t *params)
{
    struct stream *s = io->private_data;
    snd_pcm_sw_params_get_avail_min(params, &s->avail_min);
    snd_pcm_sw_params_get_stop_threshold(params, &s->stop_threshold);
    return 0;
}

static void discard(struct stream *s)
{
    int fds[] = {s->timer_fd, s->air_fd, s->heard_fd, s->lock_fd};
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (s->shared)
        munmap(s->shared, sizeof *s->shared);
    free(s);
}

static int ptt_close(snd_pcm_ioplug_t *io)
{
    struct stream *s = io->private_data;
    loop_on_errors(s);
    discard(s);
    return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
    .start = ptt_start,
    .stop = ptt_stop,
    .pointer = ptt_pointer,
    .transfer = ptt_transfer,
    .close = ptt_close,
    .hw_params = ptt_hw_params,
    .sw_params = ptt_sw_params,
    .prepare = ptt_prepare,
    .delay = ptt_delay,
    .poll_descriptors_count = ptt_poll_descriptors_count,
    .poll_descriptors = ptt_poll_descriptors,
    .poll_revents = ptt_poll_revents,
};

static struct card *card_in(const char *dir)
{
    struct card *card;
    pthread_mutex_lock(&cards_lock);
    for (card = cards; card && strcmp(card->dir, dir) != 0; card = card->next)
        ;
    if (!card && (card = calloc(1, sizeof *card))) {
        snprintf(card->dir, sizeof card->dir, "%s", dir);
        card->start_tick[0] = card->start_tick[1] = -1000; /* long ago */
        card->next = cards;
        cards = card;
    }
    pthread_mutex_unlock(&cards_lock);
    return card;
}

static int open_in(const struct card *card, const char *name, int flags)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", card->dir, name);
    return open(path, flags | O_CLOEXEC, 0666);
}

/* Open the files of a card. One application per direction, as with a real card: else -EBUSY. */
static int open_files(struct stream *s)
{
    int shared_fd;
    s->lock_fd = open_in(s->card, s->is_playback ? "speaker.lock" : "microphone.lock",
                         O_RDWR | O_CREAT);
    if (s->lock_fd < 0)
        return -errno;
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return -EBUSY;
    s->air_fd = open_in(s->card, "stimulus.raw", O_RDWR | O_CREAT);
    s->heard_fd = open_in(s->card, "heard.raw", O_RDWR | O_CREAT);
    s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    shared_fd = open_in(s->card, "shared", O_RDWR | O_CREAT);
    if (s->heard_fd < 0 || s->timer_fd < 0 || shared_fd < 0)
        return -errno;
    if (ftruncate(shared_fd, sizeof *s->shared) == 0)
        s->shared = mmap(NULL, sizeof *s->shared, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
    close(shared_fd);
    if (s->shared == MAP_FAILED)
        s->shared = NULL;
    return s->shared ? 0 : -EIO;
}

/* The error with which this direction cannot be opened now; 0: it can. */
static int open_error(const struct stream *s)
{
    int64_t begin_ns = now_ns();
    while (now_ns() - begin_ns < s->shared->open_ms * 1000000LL)
        usleep(10000);
    if (s->shared->is_unplugged)
        return -ENODEV;
    if (now_ns() < s->shared->openable_at_ns)
        return -EACCES;
    return -(int)s->shared->open_errno[s->is_playback];
}

/* What hardware like this allows: one format, this many channels, periods from 1 ms on. */
static int constrain(struct stream *s)
{
    static const unsigned access[] = {SND_PCM_ACCESS_MMAP_INTERLEAVED,
                                      SND_PCM_ACCESS_RW_INTERLEAVED};
    const unsigned format[] = {(unsigned)s->format};
    const unsigned *rates = s->own_rates_n ? s->own_rates : s->rates;
    unsigned rates_n = s->own_rates_n ? s->own_rates_n : s->rates_n;
    unsigned frame_bytes = s->channels * s->sample_bytes;
    unsigned tick_bytes = (rates[0] / 1000 + 1) * frame_bytes;
    snd_pcm_ioplug_t *io = &s->io;
    int err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);
    if (err >= 0)
        err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format);
    if (err >= 0)
        err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_RATE, rates_n, rates);
    if (err >= 0)
        err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, s->channels,
                                              s->channels);
    if (err >= 0)
        err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, tick_bytes,
                                              32768 * frame_bytes);
    if (err >= 0)
        err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 2 * tick_bytes,
                                              65536 * frame_bytes);
    if (err >= 0)
        err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 1024);
    return err;
}

/* Add a list of rates to those there are. */
static void read_rates(snd_config_t *list, unsigned *rates, unsigned *n)
{
    snd_config_iterator_t i, next;
    long number;
    snd_config_for_each(i, next, list)
    {
        if (snd_config_get_integer(snd_config_iterator_entry(i), &number) >= 0 && number > 0 &&
            *n < MAX_RATES)
            rates[(*n)++] = (unsigned)number;
    }
}

static int read_format(struct stream *s, const char *name)
{
    s->format = snd_pcm_format_value(name);
    if (s->format != SND_PCM_FORMAT_S16_LE && s->format != SND_PCM_FORMAT_S24_3LE &&
        s->format != SND_PCM_FORMAT_S32_LE)
        return -EINVAL;
    s->sample_bytes = (unsigned)snd_pcm_format_physical_width(s->format) / 8;
    return 0;
}

/* Read the card's section of the configuration. */
static int configure(struct stream *s, snd_config_t *conf)
{
    snd_config_iterator_t i, next;
    snd_config_for_each(i, next, conf)
    {
        snd_config_t *n = snd_config_iterator_entry(i);
        const char *id, *text;
        long number;
        int err = 0;
        if (snd_config_get_id(n, &id) < 0)
            continue;
        if (!strcmp(id, "comment") || !strcmp(id, "type") || !strcmp(id, "hint"))
            continue;
        if (!strcmp(id, "dir")) {
            if ((err = snd_config_get_string(n, &text)) >= 0 && !(s->card = card_in(text)))
                err = -ENOMEM;
        } else if (!strcmp(id, "epoch_ns")) {
            if ((err = snd_config_get_string(n, &text)) >= 0)
                s->epoch_ns = strtoll(text, NULL, 10);
        } else if (!strcmp(id, "rates")) {
            read_rates(n, s->rates, &s->rates_n);
        } else if (!strcmp(id, s->is_playback ? "playback_rates" : "capture_rates")) {
            read_rates(n, s->own_rates, &s->own_rates_n);
        } else if (!strcmp(id, "playback_rates") || !strcmp(id, "capture_rates")) {
            continue; /* the other direction */
        } else if (!strcmp(id, "format")) {
            if ((err = snd_config_get_string(n, &text)) >= 0)
                err = read_format(s, text);
        } else if (!strcmp(id, s->is_playback ? "playback_channels" : "capture_channels")) {
            if ((err = snd_config_get_integer(n, &number)) >= 0)
                s->channels = (unsigned)number;
        } else if (!strcmp(id, "playback_channels") || !strcmp(id, "capture_channels")) {
            continue; /* the other direction */
        } else if (!strcmp(id, "ppm")) {
            err = snd_config_get_ireal(n, &s->ppm);
        } else if (!strcmp(id, "loop")) {
            err = s->is_looped = snd_config_get_bool(n);
        } else if (!strcmp(id, "is_alias")) {
            err = s->is_alias = snd_config_get_bool(n);
        } else if (!strcmp(id, "argument")) {
            s->has_argument = 1;
        } else if (!strcmp(id, "echo_gain")) {
            err = snd_config_get_ireal(n, &s->echo_gain);
        } else if (!strcmp(id, "echo_ms")) {
            err = snd_config_get_integer(n, &s->echo_ms);
        } else {
            err = -EINVAL;
        }
        if (err < 0) {
            SNDERR("pcm_ptt: cannot use field %s", id);
            return err;
        }
    }
    if (!s->card || !s->epoch_ns) {
        SNDERR("pcm_ptt: dir and epoch_ns are required");
        return -EINVAL;
    }
    if (!s->rates_n)
        s->rates[s->rates_n++] = 48000;
    return 0;
}

SND_PCM_PLUGIN_DEFINE_FUNC(ptt)
{
    struct stream *s = calloc(1, sizeof *s);
    int err;
    (void)root;
    if (!s)
        return -ENOMEM;
    s->timer_fd = s->air_fd = s->heard_fd = s->lock_fd = -1;
    s->heard_next = -1;
    s->echo_ms = 20;
    s->is_playback = stream == SND_PCM_STREAM_PLAYBACK;
    s->format = SND_PCM_FORMAT_S16_LE;
    s->sample_bytes = 2;
    s->channels = s->is_playback ? 2 : 1;
    err = configure(s, conf);
    if (err >= 0 && (s->channels == 0 || (s->is_alias && !s->has_argument)))
        err = -ENOENT; /* what a real card without this direction says */
    if (err >= 0)
        err = open_files(s);
    if (err >= 0)
        err = open_error(s);
    if (err < 0) {
        discard(s);
        return err;
    }
    s->io.version = SND_PCM_IOPLUG_VERSION;
    s->io.name = "USB sound card that is not there";
    s->io.flags = SND_PCM_IOPLUG_FLAG_MONOTONIC | SND_PCM_IOPLUG_FLAG_BOUNDARY_WA;
    s->io.mmap_rw = 1; /* applications and card share one ring buffer */
    s->io.poll_fd = s->timer_fd;
    s->io.poll_events = POLLIN;
    s->io.callback = &callbacks;
    s->io.private_data = s;
    err = snd_pcm_ioplug_create(&s->io, name, stream, mode);
    if (err < 0) {
        discard(s);
        return err;
    }
    err = constrain(s);
    if (err < 0) {
        snd_pcm_ioplug_delete(&s->io);
        return err;
    }
    *pcmp = s->io.pcm;
    return 0;
}

SND_PCM_PLUGIN_SYMBOL(ptt);
