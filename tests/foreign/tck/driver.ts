// Gridwire as seen by open-ocpp-tck: operations by REST, observations from the database.
//
// Loaded by the kit (CSMS_DRIVER names this file); see README.md beside it. Nothing of the kit is kept
// here. Every operation is one POST of an OCPP action and its payload: the kit's vocabulary is OCPP's.
import { SQL } from "bun";

type Fields = Record<string, unknown>;
type Operation = Fields & { action: string };

const WAIT_POLL_MS = 200;
const CERTIFIED_LIMIT_W = 11000;

// The two profiles that scenarios name by their description; the handle is the id on the wire.
const HANDLES: Record<string, string> = { "TC056 TxDefaultProfile": "56", "TC057 TxProfile": "57" };
const PROFILES: Record<string, Fields> = {
  "56": profile(56, "TxDefaultProfile"),
  "57": profile(57, "TxProfile"),
};

function profile(id: number, purpose: string): Fields {
  return {
    chargingProfileId: id,
    stackLevel: 0,
    chargingProfilePurpose: purpose,
    chargingProfileKind: "Absolute",
    chargingSchedule: {
      duration: 86400,
      startSchedule: new Date(Date.now() - 60_000).toISOString(),
      chargingRateUnit: "W",
      chargingSchedulePeriod: [{ startPeriod: 0, limit: CERTIFIED_LIMIT_W }],
    },
  };
}

function required(env: Record<string, string | undefined>, name: string): string {
  const value = env[name];
  if (!value) throw new Error(`${name} is not set; tests/foreign/tck/README.md says to what`);
  return value;
}

/** What does not go on the wire is left out. */
function present(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** The request's payload as the standard has it (OCPP 1.6 section 6). */
async function payload16(op: Operation, station: Station, cpId: string): Promise<Fields> {
  const { action, ...rest } = op;
  switch (action) {
    case "GetConfiguration":
      return present({ key: op.keys });
    case "RemoteStartTransaction":
      return present({
        connectorId: op.connectorId,
        idTag: op.idTag,
        chargingProfile: op.chargingProfile ? PROFILES[op.chargingProfile as string] : undefined,
      });
    case "RemoteStopTransaction":
      return { transactionId: await station.transactionId(op.transaction as string) };
    case "SetChargingProfile": {
      const wanted = { ...PROFILES[op.chargingProfile as string] };
      if (op.transaction) wanted.transactionId = await station.transactionId(op.transaction as string);
      return { connectorId: op.connectorId, csChargingProfiles: wanted };
    }
    case "ClearChargingProfile":
      return present({
        id: op.chargingProfile ? PROFILES[op.chargingProfile as string].chargingProfileId : undefined,
        connectorId: op.connectorId,
        chargingProfilePurpose: op.purpose,
        stackLevel: op.stackLevel,
      });
    case "UpdateFirmware":
      return present({ ...rest, retrieveDate: iso(op.retrieveDate) });
    case "GetDiagnostics":
      return present({ ...rest, startTime: iso(op.startTime), stopTime: iso(op.stopTime) });
    case "SendLocalList":
      return present({ ...rest, localAuthorizationList: localList(op) });
    case "ReserveNow": {
      const { reservation, ...others } = rest;
      const id = reservation ? Number(reservation) : await station.nextReservation(cpId);
      return present({ ...others, expiryDate: iso(op.expiryDate), reservationId: id });
    }
    case "CancelReservation":
      return { reservationId: Number(op.reservation) };
    default:
      return present(rest);
  }
}

function iso(value: unknown): string | undefined {
  return value instanceof Date ? value.toISOString() : undefined;
}

function localList(op: Operation): Fields[] | undefined {
  const entries = op.localAuthorizationList as Fields[] | undefined;
  return entries?.map((entry) => ({
    idTag: entry.idTag,
    idTagInfo: present({
      status: entry.status ?? "Accepted",
      expiryDate: iso(entry.expiryDate),
      parentIdTag: entry.parentIdTag,
    }),
  }));
}

function payload201(op: Operation): Fields {
  if (op.action === "GetVariables") return { getVariableData: op.variables };
  if (op.action === "SetVariables") return { setVariableData: op.variables };
  return present({ type: op.type, evseId: op.evseId });
}

/** The operator's side: logs in once, then posts commands. */
class Operator {
  private token = "";

  constructor(
    private readonly url: string,
    private readonly email: string,
    private readonly password: string,
  ) {}

  async send(chargerId: number, action: string, payload: Fields): Promise<string> {
    if (!this.token) await this.login();
    const answer = await this.post(`/api/v1/chargers/${chargerId}/commands`, { action, payload, wait: false });
    if (!answer.ok) throw new Error(`${action}: HTTP ${answer.status} ${await answer.text()}`);
    return answer.text();
  }

  private async login(): Promise<void> {
    const answer = await this.post("/api/v1/auth/login", { email: this.email, password: this.password });
    if (!answer.ok) throw new Error(`login: HTTP ${answer.status} ${await answer.text()}`);
    const body = (await answer.json()) as { data?: Fields; token?: string };
    this.token = String(body.data?.token ?? body.data?.accessToken ?? body.token ?? "");
  }

  private post(path: string, body: Fields): Promise<Response> {
    const headers: Record<string, string> = { "Content-Type": "application/json" };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    return fetch(`${this.url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  }
}

/** What Gridwire has on record of a charger. A handle is a session's id. */
class Station {
  constructor(private readonly db: SQL) {}

  async deviceId(cpId: string): Promise<number> {
    const rows = await this.db`SELECT id FROM devices WHERE kind = 'charger' AND identity_key = lower(${cpId})`;
    if (!rows.length) throw new Error(`charger ${cpId} is not registered: run prepare.py`);
    return Number(rows[0].id);
  }

  async latestTransaction(cpId: string): Promise<string> {
    const rows = await this.db`
      SELECT id FROM sessions WHERE device_id = ${await this.deviceId(cpId)} ORDER BY id DESC LIMIT 1`;
    return rows.length ? String(rows[0].id) : "";
  }

  async waitForActiveTransaction(cpId: string, idTag: string, timeoutSecs = 30): Promise<string> {
    const end = Date.now() + timeoutSecs * 1000;
    while (Date.now() < end) {
      const rows = await this.db`
        SELECT id FROM sessions WHERE device_id = ${await this.deviceId(cpId)} AND status = 'active'
          AND lower(id_tag) = lower(${idTag}) ORDER BY id DESC LIMIT 1`;
      if (rows.length) return String(rows[0].id);
      await Bun.sleep(WAIT_POLL_MS);
    }
    throw new Error(`no active session of ${idTag} at ${cpId} within ${timeoutSecs} s`);
  }

  async transactionIdTag(session: string): Promise<string> {
    return (await this.field(session))?.id_tag ?? "";
  }

  async transactionStopTimestamp(session: string): Promise<string> {
    const ended = (await this.field(session))?.ended_at;
    return ended ? new Date(ended).toISOString() : "";
  }

  async transactionStopReason(session: string): Promise<string> {
    return (await this.field(session))?.stop_reason ?? "";
  }

  async transactionCountForIdTag(cpId: string, idTag: string): Promise<string> {
    const rows = await this.db`
      SELECT count(*) AS found FROM sessions
      WHERE device_id = ${await this.deviceId(cpId)} AND lower(id_tag) = lower(${idTag})`;
    return String(rows[0].found);
  }

  async transactionId(session: string): Promise<number> {
    const row = await this.field(session);
    if (!row) throw new Error(`session ${session} does not exist`);
    return Number(row.transaction_id);
  }

  async nextReservation(cpId: string): Promise<number> {
    const rows = await this.db`
      SELECT coalesce(max(reservation_id), 0) + 1 AS next FROM reservations
      WHERE device_id = ${await this.deviceId(cpId)}`;
    return Number(rows[0].next);
  }

  readonly reservations = {
    latest: async (cpId: string): Promise<string> => {
      const rows = await this.db`
        SELECT reservation_id FROM reservations WHERE device_id = ${await this.deviceId(cpId)}
        ORDER BY reservation_id DESC LIMIT 1`;
      return rows.length ? String(rows[0].reservation_id) : "";
    },
    status: async (reservation: string): Promise<string> => {
      const rows = await this.db`
        SELECT status FROM reservations WHERE reservation_id = ${Number(reservation)}
        ORDER BY updated_at DESC LIMIT 1`;
      return rows.length ? String(rows[0].status).toUpperCase() : "";
    },
  };

  readonly chargingProfiles = {
    refByDescription: async (description: string): Promise<string> => HANDLES[description] ?? "",
  };

  private async field(session: string): Promise<Record<string, string> | undefined> {
    const rows = await this.db`
      SELECT id_tag, ended_at, stop_reason, transaction_id FROM sessions WHERE id = ${Number(session || 0)}`;
    return rows[0];
  }
}

export const csmsDriver = {
  id: "gridwire",
  displayName: "Gridwire",
  create(env: Record<string, string | undefined>) {
    const operator = new Operator(
      required(env, "GRIDWIRE_URL"),
      env.GRIDWIRE_EMAIL ?? "admin@example.com",
      required(env, "GRIDWIRE_PASSWORD"),
    );
    const station = new Station(new SQL(required(env, "GRIDWIRE_DATABASE_URL")));
    return {
      operations16: {
        execute: async (cpId: string, op: Operation) =>
          operator.send(await station.deviceId(cpId), op.action, await payload16(op, station, cpId)),
      },
      operations201: {
        execute: async (cpId: string, op: Operation) =>
          operator.send(await station.deviceId(cpId), op.action, payload201(op)),
      },
      records: station,
      simTransport: async () => ({
        wsUrl: required(env, "GRIDWIRE_OCPP_URL"),
        appendCpIdToWsPath: true,
      }),
    };
  },
};
