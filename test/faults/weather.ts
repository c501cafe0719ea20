/** What a network does to the bytes between two sites. */
export type Weather =
  | { readonly kind: 'fair' }
  /** Every piece arrives so much later, both ways; the bandwidth does not suffer. */
  | { readonly kind: 'delayed'; readonly ms: number }
  /** Each direction passes no more, all connections together. */
  | { readonly kind: 'throttled'; readonly bytesPerSecond: number }
  /** Connections end at once. */
  | { readonly kind: 'cut' }
  /**
   * Connections are accepted, also new ones, what comes is swallowed, and nobody hears of it. When it
   * is over, they stay dead in silence, or are reset, as a machine does that has lost their state.
   */
  | { readonly kind: 'half-open'; readonly ends: 'silence' | 'reset' }

export const fair: Weather = { kind: 'fair' }

/** Nothing passes. */
export function isClosed({ kind }: Weather): boolean {
  return kind === 'cut' || kind === 'half-open'
}
