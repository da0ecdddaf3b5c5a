"""Socket.IO of EV-CMS, at /socket.io of the API's own port; `docs/evcms-live.md` has the events."""
