/** A sample of -1 to 1 as a 16-bit integer; louder ones are clipped. */
export function toInt16(sample) {
  return Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
}

/** The samples, -1 to 1, of bytes that hold 16-bit little-endian integers. */
export function fromInt16(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength >> 1 }, (_, i) => view.getInt16(2 * i, true) / 32768);
}
