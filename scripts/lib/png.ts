import { crc32, deflateSync } from 'node:zlib'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])

/**
 * Returns a picture of about this many bytes, as a PNG (ISO/IEC 15948): a gradient with grain, the same for the same
 * seed. The grain cannot be compressed, so the size is that of the pixels.
 */
export function makePng(bytes: number, seed: number): Buffer {
  const side = Math.max(8, Math.round(Math.sqrt(bytes / 3)))
  const rowBytes = 1 + side * 3
  const pixels = Buffer.alloc(rowBytes * side)
  let state = (seed * 2654435761 + 1) >>> 0
  for (let y = 0; y < side; y++) {
    // The first byte of a row names its filter: none.
    for (let x = 0, at = y * rowBytes + 1; x < side; x++) {
      // Xorshift (Marsaglia 2003).
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      pixels[at++] = ((x * 255) / side + (state & 127)) & 255
      pixels[at++] = ((y * 255) / side + ((state >>> 8) & 127)) & 255
      pixels[at++] = (seed * 13 + ((state >>> 16) & 255)) & 255
    }
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(side, 0)
  header.writeUInt32BE(side, 4)
  // 8 bits a sample, red, green and blue.
  header.set([8, 2, 0, 0, 0], 8)
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(pixels, { level: 1 })),
    chunk('IEND', Buffer.alloc(0))
  ])
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const framed = Buffer.alloc(8 + body.byteLength)
  framed.writeUInt32BE(data.byteLength, 0)
  framed.set(body, 4)
  framed.writeUInt32BE(crc32(body), 4 + body.byteLength)
  return framed
}
