"""Push-to-talk appliance for LiveKit rooms: a map of the package.

Control flow, one event at a time; `step` is pure and makes every decision:

    buttons, room, page, tokens, network, timer, signals
        │ post(event), from any thread
        ▼
    app: inbox ─▶ core.step(state, event, now_s) ─▶ state, commands
                    │                                 │
                    ▼                                 ▼
         core.view(state, now_s)            the adapter that owns each
                    │ if changed                command; it answers by
                    ▼                           posting another event
         viewers: screen, lamps, page, systemd, metrics

Audio path, int16 mono 48 kHz; every buffer is bounded:

    capture:   card ─▶ 10 ms blocks ─▶ echo canceller ─▶ noise suppression, gain
                    ─▶ gate ─▶ room
    playback:  room ─▶ jitter buffer per participant ─▶ mixer ─▶ volume, earcons,
                    limiter ─▶ card (and, as echo reference, the echo canceller)

PortAudio, which opens the card, runs in processes of its own, one for each stream: a
hang or crash in it ends neither the room nor the page. Periods of 10 ms pass over a
socket.

Folders:

    core      decisions: events, commands, state, step, view
    display   draws the view for the OLED       config   dataclasses, files, checks
    audio     streams, capture, playback        room     LiveKit session and chat
    page      web page and HTTP API             panel    buttons, lamps, OLED
    tokens    client of the token source        net      URLs, HTTP, network monitor
    process   tasks, faults, log, systemd,      metrics  counters, Prometheus
              files in the state directory
    doctor    fault finding                     demo     everything without hardware
    dtelecom  rooms on dTelecom's network, for room, tokens and token_server
    sound_cards   which cards there are and are used, their own volume
    token_server  the command `token-server`, which issues tokens

Modules at the top:

    cli        commands and their arguments     assembly builds and connects adapters
    app        start of `ptt-appliance run`, and its control loop: inbox to commands
    ports      interfaces of the adapters       pcm      format of audio, blocks
    errors     exceptions of the appliance

Adapters are in audio, room, page, panel, tokens, net (network monitor), metrics (push)
and process (`SettingsStore`, systemd); audio, room, page, panel and tokens import the
other folders, never each other. Only `cli`, `app`, `assembly`, `demo` and `doctor` name
concrete adapters.

Reading order: `config.yaml`, `core.state`, `core.events`, `core.step`,
`core.session`, `core.talk`, then `app`, `assembly`, and one adapter.

Glossary:

    period     10 ms of the card, at its rate and channels
    block      10 ms of samples: 480 frames        packet    20 ms of Opus: two blocks
    gate       sends the microphone or silence to the room; the track stays published
    earcon     short sound for the person at the appliance
    session    one connection to a room, from its token to its end
    ticket     number of a session, which its commands and events carry, so that
               events of older sessions are dropped
    adapter    connects the core with something outside: sound card, room, page
    viewer     adapter that shows the view
    view       immutable description of everything that is shown
    banner     text of the connection's state, or of why it is missing
    link       network of this machine; another address or default route is another link
    page       web page; a screen page is one of the contents of the OLED
    part       hardware or service that may fail while the rest works
    lease      hold of the page's talk button by one client; ends with its WebSocket.
               A client that sends HTTP requests instead has to repeat them in time
    preset     another room that can be chosen

    box        the appliance
    talker     person who speaks                speaker   loudspeaker
    talk       from the press to the end of its tail
    tail       end of a talk that is still sent after the release
    latched    a talk that goes on without a held button
    agent      program in the room that answers what is said (LiveKit's agents)
    turn       time in which an agent listens to this box: the box sends it the turn's
               start and end
    caption    spoken words as text, while they are spoken

    level      loudness of samples in dBFS; of a pin: high or low
    volume     loudness of playback in percent; the card's own is set in its mixer
    mixer      sum of all talkers; the card's own mixer has its volumes and switches

    silent     of sound: so quiet that it counts as silence
    silent microphone   fault: it delivers only zeros while somebody talks
    idle       silent in both directions for a while: most periods are skipped
    stopped    of a stream: PortAudio does not call back any more
    no samples   fault: PortAudio calls back, but has had no captured sound for 1 s
    settled    unchanged for so long that it counts: a contact, the silence before idle
"""
