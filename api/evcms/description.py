"""What the EV-CMS document says before its operations; the events are those of `api.evcms.live`."""

DESCRIPTION = """Charging: people, stations, chargers, bookings, sessions and money of the EV-CMS family.

**Sign in** with `POST /auth/login` and send `Authorization: Bearer <accessToken>`. An access token lives an
hour; `POST /auth/refresh-token` exchanges the refresh token, which is good for one exchange.

**Answers** are `{success, data}`; a list has `pagination` beside it. Refusals are `{success: false, message,
error, statusCode}`, with `errors` for each field that is wrong. A slash at the end of a path is ignored. Ids
are strings, times ISO 8601 in UTC, money rupees, energy kWh unless said otherwise.

**Limits** are counted by address over 15 minutes: see the `X-RateLimit` headers and, on 429, `Retry-After`.
A POST about money takes an `Idempotency-Key`: the same key again changes nothing.

## Socket.IO
At `/socket.io` of this server (protocol 4, as of `socket.io-client` 4). What is refused comes back as
`error-message` and to the callback.

| client sends | payload | what follows |
|---|---|---|
| `authenticate` | `{token}` | `authenticated {userId}`, or `unauthorized {message}` and the end |
| `join-session`, `leave-session` | `{sessionId}` | `session-update` at once and whenever it changes |
| `join-booking`, `leave-booking` | `{bookingId}` | `booking-updated` at once and whenever it changes |

| server sends | payload | to whom |
|---|---|---|
| `session-update` | `{sessionId, status, meterValue, power, duration, estimatedCost}` | the session's room |
| `session-started` | `{session}` | the driver, and the brand whose charger it is |
| `session-stopped` | `{session, cdr}` | the same |
| `charger-status` | `{chargerId, status, connectors}` | admins, the owner, and drivers while it is in use |
| `notification` | the notification | its user |
| `booking-reminder`, `booking-updated` | `{booking}` | its driver, and the booking's room |
| `low-balance` | `{balance}` | its user |
"""
