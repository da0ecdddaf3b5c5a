// What ChirpStack 4 offers of Node's Buffer: the part that codecs use, over Uint8Array.
globalThis.Buffer = (function () {
  'use strict';
  const DIGITS = '0123456789abcdef';
  function fromHex(text) {
    const bytes = [];
    for (let i = 0; i + 1 < text.length; i += 2) {
      const value = parseInt(text.substr(i, 2), 16);
      if (value !== value) break;
      bytes.push(value);
    }
    return bytes;
  }
  function fromBinary(text) { return Array.from(text, (letter) => letter.charCodeAt(0) & 255); }
  function toBinary(bytes) {
    let text = '';
    for (const b of bytes) text += String.fromCharCode(b);
    return text;
  }
  function toHex(bytes) {
    let text = '';
    for (const b of bytes) text += DIGITS[b >> 4] + DIGITS[b & 15];
    return text;
  }
  function toUtf8(bytes) {
    try {
      return decodeURIComponent(escape(toBinary(bytes)));
    } catch (error) {
      return toBinary(bytes.map((b) => b < 128 ? b : 63));
    }
  }
  function fromBase64(text) {
    return fromBinary(atob(text.replace(/-/g, '+').replace(/_/g, '/').replace(/[^A-Za-z0-9+/]/g, '')));
  }
  function encoded(text, encoding) {
    switch (String(encoding || 'utf8').toLowerCase()) {
      case 'hex': return fromHex(text);
      case 'base64': case 'base64url': return fromBase64(text);
      case 'ascii': case 'latin1': case 'binary': return fromBinary(text);
      default: return fromBinary(unescape(encodeURIComponent(text)));
    }
  }
  function signed(value, size) { return value >= 2 ** (8 * size - 1) ? value - 2 ** (8 * size) : value; }

  class Buffer extends Uint8Array {
    static from(value, encoding, length) {
      if (typeof value === 'string') return super.from(encoded(value, encoding));
      if (value instanceof ArrayBuffer) return new Buffer(value, encoding, length);
      if (value && value.type === 'Buffer' && Array.isArray(value.data)) return super.from(value.data);
      return super.from(value);
    }
    static alloc(size, fill) { return fill === undefined ? new Buffer(size) : new Buffer(size).fill(fill); }
    static allocUnsafe(size) { return new Buffer(size); }
    static isBuffer(value) { return value instanceof Buffer; }
    static byteLength(value, encoding) {
      return typeof value === 'string' ? encoded(value, encoding).length : value.length;
    }
    static concat(parts, length) {
      const size = length === undefined ? parts.reduce((sum, part) => sum + part.length, 0) : length;
      const made = new Buffer(size);
      let at = 0;
      for (const part of parts) { made.set(part.subarray(0, Math.max(0, size - at)), at); at += part.length; }
      return made;
    }
    static compare(one, other) {
      for (let i = 0; i < Math.min(one.length, other.length); i++) {
        if (one[i] !== other[i]) return one[i] < other[i] ? -1 : 1;
      }
      return Math.sign(one.length - other.length);
    }
    slice(start, end) { return this.subarray(start, end); }
    equals(other) { return Buffer.compare(this, other) === 0; }
    copy(target, at = 0, start = 0, end = this.length) {
      const part = this.subarray(start, Math.min(end, start + target.length - at));
      target.set(part, at);
      return part.length;
    }
    write(text, at = 0, length, encoding) {
      if (typeof at === 'string') return this.write(text, 0, this.length, at);
      if (typeof length === 'string') return this.write(text, at, this.length - at, length);
      const size = Math.min(length === undefined ? this.length : length, this.length - at);
      const bytes = encoded(text, encoding).slice(0, size);
      this.set(bytes, at);
      return bytes.length;
    }
    toString(encoding, start = 0, end = this.length) {
      const part = Uint8Array.prototype.subarray.call(this, start, end);
      switch (String(encoding || 'utf8').toLowerCase()) {
        case 'hex': return toHex(part);
        case 'base64': return btoa(toBinary(part));
        case 'ascii': return toBinary(part.map((b) => b & 127));
        case 'latin1': case 'binary': return toBinary(part);
        default: return toUtf8(part);
      }
    }
    toJSON() { return {type: 'Buffer', data: Array.from(this)}; }
    view(at, size) {
      if (!Number.isInteger(at) || at < 0 || at + size > this.length) {
        throw new RangeError('The value of "offset" is out of range.');
      }
      return new DataView(this.buffer, this.byteOffset, this.length);
    }
    readUIntBE(at, size) {
      this.view(at, size);
      let value = 0;
      for (let i = 0; i < size; i++) value = value * 256 + this[at + i];
      return value;
    }
    readUIntLE(at, size) {
      this.view(at, size);
      let value = 0;
      for (let i = size - 1; i >= 0; i--) value = value * 256 + this[at + i];
      return value;
    }
    readIntBE(at, size) { return signed(this.readUIntBE(at, size), size); }
    readIntLE(at, size) { return signed(this.readUIntLE(at, size), size); }
    writeUIntBE(value, at, size) {
      this.view(at, size);
      for (let i = size - 1; i >= 0; i--, value = Math.floor(value / 256)) this[at + i] = value % 256;
      return at + size;
    }
    writeUIntLE(value, at, size) {
      this.view(at, size);
      for (let i = 0; i < size; i++, value = Math.floor(value / 256)) this[at + i] = value % 256;
      return at + size;
    }
    writeIntBE(value, at, size) { return this.writeUIntBE(value < 0 ? value + 2 ** (8 * size) : value, at, size); }
    writeIntLE(value, at, size) { return this.writeUIntLE(value < 0 ? value + 2 ** (8 * size) : value, at, size); }
  }
  const kinds = [
    ['Int8', 'Int8', 1], ['UInt8', 'Uint8', 1], ['Int16', 'Int16', 2], ['UInt16', 'Uint16', 2],
    ['Int32', 'Int32', 4], ['UInt32', 'Uint32', 4], ['Float', 'Float32', 4], ['Double', 'Float64', 8],
    ['BigInt64', 'BigInt64', 8], ['BigUInt64', 'BigUint64', 8],
  ];
  for (const [name, native, size] of kinds) {
    for (const order of size === 1 ? [''] : ['LE', 'BE']) {
      const little = order === 'LE';
      const read = function (at = 0) { return this.view(at, size)['get' + native](at, little); };
      const write = function (value, at = 0) {
        this.view(at, size)['set' + native](at, value, little);
        return at + size;
      };
      for (const spelled of [name, name.replace('UInt', 'Uint')]) {
        Buffer.prototype['read' + spelled + order] = read;
        Buffer.prototype['write' + spelled + order] = write;
      }
    }
  }
  for (const name of ['UIntBE', 'UIntLE']) {
    Buffer.prototype['readUint' + name.slice(4)] = Buffer.prototype['read' + name];
    Buffer.prototype['writeUint' + name.slice(4)] = Buffer.prototype['write' + name];
  }
  return Buffer;
})();
