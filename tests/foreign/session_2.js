// A charging visit of OCPP 2.x by npm's ocpp-rpc, printed as JSON lines; driven by test_foreign_clients_2.py.
// usage: node session_2.js <endpoint> <identity> <password> <subprotocol>
const { RPCClient, createValidator } = require("ocpp-rpc");

const [endpoint, identity, password, subprotocol] = process.argv.slice(2);
const say = (what, value) => console.log(JSON.stringify({ what, value }));
const fail = (error) => { say("failed", `${error} ${JSON.stringify(error.details ?? {})}`); process.exit(1); };

const begin = Date.parse("2026-03-04T05:00:00.000Z");
const at = (minute) => new Date(begin + minute * 60_000).toISOString();
const evse = { id: 1, connectorId: 1 };
const idToken = { idToken: "CARD", type: "ISO14443" };
const interval = { component: { name: "OCPPCommCtrlr" }, variable: { name: "HeartbeatInterval" } };
const power = { component: { name: "EVSE", evse: { id: 1 } }, variable: { name: "Power" } };
const reported = (name, value) => ({ ...name, variableAttribute: [{ value, mutability: "ReadWrite" }] });
const register = (value, context, more) =>
  ({ value, context, measurand: "Energy.Active.Import.Register", ...more });

// The package has the schemas of 2.1 but looks for them under names that they do not bear.
const wireName = (id) => id.replace(/Request$/, ".req").replace(/Response$/, ".conf");
const schemas21 = require("ocpp-rpc/lib/schemas/ocpp2_1.json").map((each) => ({ ...each, $id: wireName(each.$id) }));

const client = new RPCClient({
  endpoint, identity, password, protocols: [subprotocol], reconnect: false,
  strictMode: true, strictModeValidators: [createValidator("ocpp2.1", schemas21)],
});
client.on("strictValidationFailure", ({ error }) => fail(error));

const status = (connectorStatus) =>
  client.call("StatusNotification", { timestamp: at(0), connectorStatus, evseId: 1, connectorId: 1 });
const event = (eventType, seqNo, triggerReason, { info, meter, ...more }) =>
  client.call("TransactionEvent", {
    eventType, seqNo, triggerReason, timestamp: at(seqNo),
    transactionInfo: { transactionId: "foreign-1", ...info },
    meterValue: [{ timestamp: at(seqNo), sampledValue: meter }],
    ...more,
  });

// What the charger answers, and what it does then.
const answers = {
  GetVariables: () => ({
    getVariableResult: [{ ...interval, attributeStatus: "Accepted", attributeValue: "300" }],
  }),
  SetVariables: () => ({ setVariableResult: [{ ...interval, attributeStatus: "Accepted" }] }),
};
const deeds = {
  async GetBaseReport({ requestId }) {
    const part = (seqNo, tbc, data) =>
      client.call("NotifyReport", { requestId, generatedAt: at(0), seqNo, tbc, reportData: [data] });
    await part(0, true, reported(power, "11000"));
    await part(1, false, reported(interval, "120"));
  },
  TriggerMessage: () => status("Occupied"),
  async RequestStartTransaction({ remoteStartId }) {
    say("started", await event("Started", 0, "RemoteStart", {
      evse, idToken, info: { chargingState: "Charging", remoteStartId },
      meter: [register(1000, "Transaction.Begin")],
    }));
    const drawn = { value: 11000, measurand: "Power.Active.Import" };
    await event("Updated", 1, "MeterValuePeriodic", { meter: [register(1600), drawn] });
    const unitOfMeasure = { unit: "Wh", multiplier: 3 };
    await event("Updated", 2, "MeterValuePeriodic", { meter: [register(2.1, "Sample.Periodic", { unitOfMeasure })] });
  },
  async RequestStopTransaction() {
    say("ended", await event("Ended", 3, "RemoteStop", {
      evse, info: { stoppedReason: "Remote" }, meter: [register(2250, "Transaction.End")],
    }));
  },
  Reset: () => client.close(),
};

// One after the other: the last one hangs up.
let done = Promise.resolve();
client.handle(({ method, params }) => {
  done = done.then(() => new Promise(setImmediate)).then(() => deeds[method]?.(params)).catch(fail);
  return answers[method]?.() ?? { status: "Accepted" };
});

async function main() {
  await client.connect();
  const chargingStation = { vendorName: "Npm", model: "Rpc" };
  say("boot", await client.call("BootNotification", { reason: "PowerUp", chargingStation }));
  await client.call("Heartbeat", {});
  await status("Available");
  say("authorize", await client.call("Authorize", { idToken }));
  say("ready", client.protocol);
}

main().catch(fail);
