// One charging session by npm's ocpp-rpc, printed as JSON lines; driven by test_foreign_clients.py.
// usage: node session.js <endpoint> <identity> <password> <idTag>
const { RPCClient } = require("ocpp-rpc");

const [endpoint, identity, password, idTag] = process.argv.slice(2);
const say = (what, value) => console.log(JSON.stringify({ what, value }));

async function main() {
  const client = new RPCClient({
    endpoint, identity, password, protocols: ["ocpp1.6"], strictMode: true, reconnect: false,
  });
  const expected = new Set(["RemoteStartTransaction", "Reset", "UnlockConnector"]);
  let allCalled;
  const called = new Promise((resolve) => { allCalled = resolve; });
  client.handle(({ method, params }) => {
    say("called", { method, params });
    expected.delete(method);
    if (expected.size === 0) setImmediate(allCalled);
    return { status: method === "UnlockConnector" ? "Unlocked" : "Accepted" };
  });
  await client.connect();
  const now = () => new Date().toISOString();
  say("boot", await client.call("BootNotification", { chargePointVendor: "Npm", chargePointModel: "Rpc" }));
  say("status", await client.call("StatusNotification",
    { connectorId: 1, errorCode: "NoError", status: "Available" }));
  say("heartbeat", await client.call("Heartbeat", {}));
  await called;
  say("authorize", await client.call("Authorize", { idTag }));
  const start = await client.call("StartTransaction",
    { connectorId: 1, idTag, meterStart: 100, timestamp: now() });
  say("start", start);
  say("meter", await client.call("MeterValues", {
    connectorId: 1, transactionId: start.transactionId,
    meterValue: [{ timestamp: now(), sampledValue: [{ value: "1.25", unit: "kWh" }] }],
  }));
  say("stop", await client.call("StopTransaction",
    { transactionId: start.transactionId, meterStop: 1250, timestamp: now(), idTag }));
  await client.close();
}

main().catch((error) => { say("failed", String(error)); process.exitCode = 1; });
