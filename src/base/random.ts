import { randomBytes } from 'node:crypto'

/** Randomness is passed in, so that the simulation can replay a run from its seed. */
export interface Random {
  /** `count` random bytes; unpredictable unless seeded. */
  bytes(count: number): Uint8Array
  /** A number in [0, 1). */
  fraction(): number
}

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  fraction: () => randomBytes(4).readUInt32LE() / 2 ** 32,
}

/**
 * A repeatable generator for tests and the simulation (splitmix32).
 * Never used for secrets.
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const splitmix = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
  return {
    bytes(count) {
      const bytes = new Uint8Array(count)
      for (let i = 0; i < count; i++) bytes[i] = splitmix() & 0xff
      return bytes
    },
    fraction: () => splitmix() / 2 ** 32,
  }
}

/** A whole number in [0, limit). */
export function randomBelow(random: Random, limit: number): number {
  return Math.floor(random.fraction() * limit)
}
