import { describe, expect, test } from 'vitest'
import { refusalOf } from '../../src/replication/http/http-failure.ts'
import { decodeAnswer, encodeAnswer } from '../../src/replication/wire/answer-codec.ts'
import { hideSecrets } from '../../src/replication/wire/hide-secrets.ts'
import { parseCompletionsAnswer } from '../../src/replication/wire/protocol.ts'

const hex = '0123456789abcdef0123456789abcdef'

describe('a text from elsewhere', () => {
  test.each([
    ['no Bearer x.y/z=, sorry', 'no Bearer [hidden] sorry'],
    ['authorization: bearer short', 'authorization: Bearer [hidden]'],
    [`key ${hex} is bad`, 'key [hidden] is bad'],
    [`key ${'aB_-'.repeat(8)} is bad`, 'key [hidden] is bad'],
    [`key ${hex.slice(1)} is fine`, `key ${hex.slice(1)} is fine`],
    ['its volume is full', 'its volume is full'],
  ])('%s is shown without secrets', (text, shown) => {
    expect(hideSecrets(text)).toBe(shown)
  })

  test('is shown without our own token, whatever that looks like', () => {
    expect(hideSecrets('token p$s.w is not p$s.w', 'p$s.w')).toBe('token [hidden] is not [hidden]')
  })

  test('keeps none in the message of a refusal, be it ours or a page', () => {
    const ours = JSON.stringify({ error: { code: hex, message: 'you sent p$s.w' } })
    for (const text of [ours, `<p>you sent p$s.w and Bearer ${hex}`]) {
      const refusal = refusalOf(403, Buffer.from(text), 'p$s.w')
      expect(refusal.message).toContain('you sent [hidden]')
      expect(JSON.stringify([refusal.message, refusal.facts])).not.toMatch(/p\$s\.w|abcdef/)
    }
  })

  test('keeps none in the outcomes of a batch and of pulls', () => {
    const outcomes = [
      { result: 'later', reason: `full ${hex}` },
      { result: 'refused', code: hex, message: `bad ${hex}` },
    ] as const
    const bytes = encodeAnswer({ through: 1, head: 1, outcomes })
    expect(JSON.stringify(decodeAnswer(bytes))).not.toContain(hex)
    const completions = [...outcomes, { result: 'again', reason: hex }].map((outcome, seq) => ({
      seq,
      outcome,
    }))
    const answer = parseCompletionsAnswer(JSON.stringify({ completions }))
    expect(answer.completions).toHaveLength(3)
    expect(JSON.stringify(answer)).not.toContain(hex)
  })
})
