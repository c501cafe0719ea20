/** When and how fast space is given back. Plain data: the command line reads it, too. */

export interface ReclaimOptions {
  /** Ahead of need. What a write or a delete has no room without is cleaned in any case. */
  readonly enabled: boolean
  /** Bytes per second that are moved ahead of need; 0 for no limit. */
  readonly rate: number
  /** Cleaning begins when less than this share of the volume is free. */
  readonly beginPercent: number
  /** Ahead of need only segments with at most this share of live bytes are cleaned. */
  readonly livePercentMax: number
  /** When writes have less than this share of the volume left, the rate does not hold any more. */
  readonly urgentPercent: number
}

export const defaultReclaimOptions: ReclaimOptions = {
  enabled: true,
  rate: 32 * 2 ** 20,
  beginPercent: 25,
  livePercentMax: 50,
  urgentPercent: 3,
}
