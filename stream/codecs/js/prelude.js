// Runs before the codec, in its context. Gives back one function that only the sandbox holds. It keeps the
// built-ins that it needs, so that a codec which changes them changes only its own results.
(function (global, outputMax, turnMax, sliceMs) {
  'use strict';
  const parse = JSON.parse, stringify = JSON.stringify, isArray = Array.isArray;
  const isSafe = Number.isSafeInteger;
  const RealDate = Date, realNow = Date.now, AnyError = Error, Text = String, Num = Number;
  const ownKeys = Reflect.ownKeys, describe = Reflect.getOwnPropertyDescriptor, construct = Reflect.construct;
  const isSame = Object.is;
  const cut = Function.prototype.call.bind(String.prototype.slice);
  // Its text is flat; `+` makes ropes, which cannot leave.
  const join = Function.prototype.call.bind(Array.prototype.join);

  // A codec's clock stands at the time at which the network heard the device: decoding again gives the same.
  let now = 0;
  function Clock(...parts) {
    if (new.target === undefined) return new RealDate(now).toString();
    return construct(RealDate, parts.length ? parts : [now], new.target === Clock ? RealDate : new.target);
  }
  Clock.prototype = RealDate.prototype;
  Clock.parse = RealDate.parse;
  Clock.UTC = RealDate.UTC;
  Clock.now = () => now;
  RealDate.prototype.constructor = Clock;
  global.Date = Clock;

  const silent = () => undefined;
  global.console = {log: silent, info: silent, debug: silent, warn: silent, error: silent, trace: silent};
  global.module = {exports: {}};
  global.exports = global.module.exports;
  for (const name of ['performance', 'Atomics', 'SharedArrayBuffer', 'queueMicrotask']) delete global[name];

  let entries = {}, snapshot = [], parts = [];

  function snap() {
    const objects = [], rows = [];
    const names = ['Object', 'Function', 'Array', 'String', 'Number', 'Boolean', 'Math', 'JSON', 'Date',
      'RegExp', 'Map', 'Set', 'Error', 'Symbol', 'Uint8Array', 'DataView', 'Reflect', 'Promise', 'BigInt'];
    for (const name of names) {
      objects.push(global[name]);
      if (global[name] && global[name].prototype) objects.push(global[name].prototype);
    }
    for (const object of objects) {
      for (const key of ownKeys(object)) {
        const property = describe(object, key);
        rows.push([object, key, property.value, property.get]);
      }
    }
    return rows;
  }

  function isChanged() {
    const rows = snap();
    if (rows.length !== snapshot.length) return true;
    for (let i = 0; i < rows.length; i++) {
      for (let j = 0; j < 4; j++) {
        if (!isSame(rows[i][j], snapshot[i][j])) return true;
      }
    }
    return false;
  }

  function adopt(found) {
    const exported = global.module.exports || {}, byDefault = found.default || {};
    let names = '';
    const wanted = ['decodeUplink', 'normalizeUplink', 'Decoder', 'Decode', 'encodeDownlink', 'Encoder',
      'Encode'];
    for (const name of wanted) {
      const entry = found[name] || exported[name] || byDefault[name];
      if (typeof entry === 'function') {
        entries[name] = entry;
        names += name + ' ';
      }
    }
    return names;
  }

  function failure(error) {
    let reason = 'codec_error', text = 'threw something without a text';
    try {
      if (error === null || error.message === 'out of memory') reason = 'codec_memory';
      if (error !== null && error.message === 'Maximum call stack size exceeded') reason = 'codec_stack';
      text = error instanceof AnyError ? error.name + ': ' + error.message : Text(error);
    } catch (another) {
    }
    return stringify({__proto__: null, reason: reason, message: cut(text, 0, 300)});
  }

  function bad(message) {
    return {__proto__: null, reason: 'codec_output', message: message};
  }

  // JSON has no BigInt: an exact integer where there is one, else its digits.
  function plain(key, value) {
    if (typeof value !== 'bigint') return value;
    return isSafe(Num(value)) ? Num(value) : Text(value);
  }

  function written(value) {
    let text;
    try {
      text = stringify(value);
    } catch (error) {
      text = stringify(value, plain);
    }
    if (typeof text !== 'string') return stringify(bad('its output is no JSON'));
    if (text.length <= outputMax) return text;
    const sizes = text.length + ' characters, at most ' + outputMax;
    return stringify(bad('its output has ' + sizes + ' are taken'));
  }

  function problem(result) {
    if (result === null) return bad('it returned null');
    if (typeof result !== 'object') return bad('it returned ' + typeof result);
    if (typeof result.then === 'function') return bad('it returned a promise; codecs must answer at once');
    return null;
  }

  function legacy(bytes, fPort, variables) {
    const data = entries.Decoder ? entries.Decoder(bytes, fPort) : entries.Decode(fPort, bytes, variables);
    return problem(data) || {__proto__: null, data: data};
  }

  function normalise(outcome) {
    try {
      const normal = entries.normalizeUplink(
        {data: outcome.data, errors: outcome.errors || [], warnings: outcome.warnings || []});
      const wrong = problem(normal);
      if (wrong) outcome.normalError = wrong.message;
      else if (isArray(normal.errors) && normal.errors.length) outcome.normalError = Text(normal.errors[0]);
      else outcome.normalized = normal.data;
    } catch (error) {
      outcome.normalError = parse(failure(error)).message;
    }
    return outcome;
  }

  function decode(item) {
    const bytes = item[0], fPort = item[1] === null ? undefined : item[1], variables = item[3] || {};
    now = item[2];
    if (!entries.decodeUplink) return legacy(bytes, fPort, variables);
    const input = {bytes: bytes, fPort: fPort, recvTime: new RealDate(now), variables: variables};
    const result = entries.decodeUplink(input);
    const wrong = problem(result);
    if (wrong) return wrong;
    const outcome = {__proto__: null, data: result.data, warnings: result.warnings, errors: result.errors};
    const failed = isArray(outcome.errors) && outcome.errors.length > 0;
    if (!failed && (outcome.data === undefined || outcome.data === null)) return bad('it returned no data');
    return entries.normalizeUplink && !failed ? normalise(outcome) : outcome;
  }

  function encode(item) {
    const data = item[0], port = item[1];
    now = item[2];
    if (entries.encodeDownlink) {
      const result = entries.encodeDownlink({data: data, fPort: port, variables: {}});
      return problem(result) || {
        __proto__: null, bytes: result.bytes, fPort: result.fPort,
        errors: result.errors, warnings: result.warnings,
      };
    }
    const bytes = entries.Encoder ? entries.Encoder(data, port) : entries.Encode(port, data, {});
    return problem(bytes) || {__proto__: null, bytes: bytes, fPort: port};
  }

  // As many as fit in a slice of time and of text; the caller sees by the count where to go on.
  function turn(items, work) {
    const begun = realNow();
    let length = 0;
    for (let i = 0; i < items.length; i++) {
      let text;
      try {
        text = written(work(items[i]));
      } catch (error) {
        text = failure(error);
      }
      parts[i] = text;
      length += text.length;
      if (length > turnMax || realNow() - begun >= sliceMs) break;
    }
    return soFar();
  }

  function soFar() {
    return join(['[', join(parts, ','), ']'], '');
  }

  return function (command, argument) {
    if (argument !== null) parts = [];
    if (command === 'decode') return turn(parse(argument), decode);
    if (command === 'encode') return turn(parse(argument), encode);
    if (command === 'adopt') return adopt(argument);
    if (command === 'remember') { snapshot = snap(); return snapshot.length; }
    if (command === 'changed') return isChanged();
    return soFar();
  };
})
