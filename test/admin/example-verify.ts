import { VerifyRunningError } from '../../src/admin/errors.ts'
import type { VerifyControl, VerifyOrder } from '../../src/admin/ports.ts'
import type { VerifyDocument } from '../../src/admin/verify-protocol.ts'

export const verifyDocument: VerifyDocument = {
  id: 3,
  running: {
    remote: 'default',
    phase: 'reading',
    compared: 7,
    objects_read: 1,
    bytes_read: 2,
    differences: 1,
  },
  results: [
    {
      remote: 'other',
      verdict: 'different',
      reason: null,
      up_to: 12,
      checked_at: '2025-12-03T21:00:00.000Z',
      differences: 1,
      waiting: 0,
      started_at: '2025-12-03T20:59:59.000Z',
      compared: 7,
      objects_read: 0,
      bytes_read: 0,
      bytes_exchanged: 300,
      repaired: 0,
      repair_problem: null,
      kinds: { 'missing-there': 1 },
      listed: [
        { kind: 'missing-there', what: 'object', bucket: 'docs', key: 'a', here: '1', there: null },
      ],
    },
  ],
}

/** Answers with the example, and notes what it was told to begin. */
export function exampleVerify(begun: VerifyOrder[]): VerifyControl {
  return {
    current: () => verifyDocument,
    begin(order) {
      if (order.remote === 'busy') throw new VerifyRunningError('one is running')
      begun.push(order)
      return verifyDocument
    },
    stop: async () => verifyDocument,
  }
}
