// The contract's client code against a server, step by step; each step is a JSON line, "next" on stdin goes on.
// usage: node run.mjs '{"email", "password", "booking", "sessionId"}'
import { once } from "node:events";
import { createInterface } from "node:readline";
import { seen } from "./page.mjs";

const input = JSON.parse(process.argv[2]);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (step, value = null) => process.stdout.write(`${JSON.stringify({ step, value })}\n`);
const next = () => lines.next();
console.log = () => {}; // the contract's code logs what it hears

const told = { session: [], shown: [] };
globalThis.updateSessionUI = (values) => told.session.push(values);
globalThis.showNotification = (text) => told.shown.push(text);

async function until(get) {
  for (let tries = 0; tries < 200; tries += 1) {
    const value = get();
    if (value !== undefined) return value;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error(`never came: ${get}`);
}

const { apiRequest, findNearbyStations, login } = await import("./contract/api.mjs");
globalThis.apiRequest = apiRequest;
say("login", await login(input.email, input.password));

say("expire");
await next();
const before = localStorage.getItem("accessToken");
say("retried", {
  profile: await apiRequest("/api/v1/auth/me"),
  isRenewed: before !== localStorage.getItem("accessToken"),
  requests: seen.requests.slice(-3),
});

say("expire");
await next();
const { api } = await import("./axios_client.mjs");
const [me, wallet] = await Promise.all([api.get("/api/v1/auth/me"), api.get("/api/v1/profile/wallet")]);
const refused = await api.get("/api/v1/sessions/999999").catch((error) => error.response.data);
say("axios", { me, wallet, refused });

say("nearby", await findNearbyStations(12.9716, 77.5946));

const { createBooking, socket, startSession } = await import("./contract/socket.mjs");
const [{ userId }] = await once(socket, "authenticated");
say("authenticated", userId);

const updates = [];
socket.on("booking-updated", (data) => updates.push(data.booking));
const booking = await createBooking(input.booking);
say("booked", { booking, update: await until(() => updates[0]) });
say("reminded", await until(() => told.shown[0]));

await startSession(input.sessionId);
say("watched", await until(() => told.session[0]));
say("measured", await until(() => told.session.find((values) => values.power > 0)));

const notification = once(socket, "notification");
say("notify");
say("notified", (await notification)[0]);

socket.disconnect();
const again = once(socket, "authenticated");
socket.connect();
await again;
await startSession(input.sessionId);
const count = told.session.length;
say("caught up", await until(() => told.session[count]));

globalThis.token = localStorage.getItem("accessToken");
globalThis.fileInput = { files: [new File([Buffer.from(input.picture, "base64")], "me.png")] };
await import("./contract/upload.mjs");
const answer = await (await seen.answers.at(-1)).json();
const file = await fetch(answer.data.url);
say("uploaded", { answer, status: file.status, bytes: (await file.arrayBuffer()).byteLength });

socket.disconnect();
process.exit(0);
