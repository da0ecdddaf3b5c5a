// Codec of the simulated LoRaWAN water meter (LoRa Alliance TS013).
//
// fPort 2: status (bit 0 valve open, bit 1 leak), battery in mV (2 bytes), then readings of 8 bytes: Unix time
// in seconds and register in litres, 4 bytes each. All numbers are big-endian. The newest reading comes last.
// Downlinks on fPort 10: C1 00 close, C1 01 open, C2 and 2 bytes: interval in seconds.

function unsigned(bytes, at, size) {
  var value = 0;
  for (var i = 0; i < size; i++) {
    value = value * 256 + bytes[at + i];
  }
  return value;
}

function decodeUplink(input) {
  var bytes = input.bytes;
  if (input.fPort !== 2) {
    return { errors: ["fPort " + input.fPort + " is none of this meter"] };
  }
  if (bytes.length < 11 || (bytes.length - 3) % 8 !== 0) {
    return { errors: [bytes.length + " bytes are no message of this meter"] };
  }
  var readings = [];
  for (var at = 3; at < bytes.length; at += 8) {
    readings.push({
      time: new Date(unsigned(bytes, at, 4) * 1000).toISOString(),
      litres: unsigned(bytes, at + 4, 4),
    });
  }
  return {
    data: {
      valve: bytes[0] & 1 ? "open" : "closed",
      valve_open: bytes[0] & 1,
      leak: (bytes[0] & 2) !== 0,
      battery_mv: unsigned(bytes, 1, 2),
      readings: readings,
    },
  };
}

function encodeDownlink(input) {
  var data = input.data;
  if (data.valve === "open" || data.valve === "closed") {
    return { fPort: 10, bytes: [0xc1, data.valve === "open" ? 1 : 0] };
  }
  if (data.interval_s >= 1 && data.interval_s <= 65535) {
    return { fPort: 10, bytes: [0xc2, data.interval_s >> 8, data.interval_s & 0xff] };
  }
  return { errors: ["give valve (open or closed) or interval_s (1 to 65535)"] };
}
