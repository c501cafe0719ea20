/** What connections really carried, framing and encryption included. */
export interface Traffic {
  readonly sentBytes: number
  readonly receivedBytes: number
}
