import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader } from '../../src/base/byte-reader.ts'
import { ByteWriter } from '../../src/base/byte-writer.ts'
import { systemClock } from '../../src/base/clock.ts'
import {
  contextCovers,
  counterOf,
  covers,
  decodeVersion,
  encodeVersion,
  joinContext,
  makeVersion,
  parseVersion,
  siteOf,
  timeOf,
  type Version,
  VersionClock,
} from '../../src/store/model/version.ts'
import { context, version } from './arbitraries.ts'

describe('a version', () => {
  it('sorts as text in the order of time, counter and site', () => {
    fc.assert(
      fc.property(version, version, (a, b) => {
        const order =
          timeOf(a) - timeOf(b) ||
          counterOf(a) - counterOf(b) ||
          (siteOf(a) < siteOf(b) ? -1 : siteOf(a) > siteOf(b) ? 1 : 0)
        expect(Math.sign(a < b ? -1 : a > b ? 1 : 0)).toBe(Math.sign(order))
      }),
    )
  })

  it('survives its binary form and is known by its text', () => {
    fc.assert(
      fc.property(version, (given) => {
        const writer = new ByteWriter()
        encodeVersion(writer, given)
        expect(decodeVersion(new ByteReader(writer.finish()))).toBe(given)
        expect(parseVersion(given)).toBe(given)
      }),
    )
  })

  it.each(['', 'x', '0000000000000001', '0000000000000001-', '0000000000000001-A'])(
    'is not read from %j',
    (text) => expect(parseVersion(text)).toBeUndefined(),
  )
})

describe('a context', () => {
  it('joined with versions covers all it covered, and them, and nothing more', () => {
    fc.assert(
      fc.property(context, fc.array(version), version, (before, added, probe) => {
        const joined = joinContext(before, added)
        const expected =
          contextCovers(before, probe) ||
          added.some((one) => siteOf(one) === siteOf(probe) && one >= probe)
        expect(contextCovers(joined, probe)).toBe(expected)
      }),
    )
  })

  it('names each site once, ascending, in whatever order it was joined', () => {
    fc.assert(
      fc.property(fc.array(version), (versions) => {
        const joined = joinContext([], versions)
        const sites = joined.map(siteOf)
        expect(sites).toEqual([...new Set(sites)].sort())
        expect(joinContext([], [...versions].reverse())).toEqual(joined)
      }),
    )
  })

  it('need not name the own site: a site has seen its own earlier writes', () => {
    const older = makeVersion(1, 0, 'a')
    const newer = makeVersion(2, 0, 'a')
    expect(covers({ version: newer, context: [] }, older)).toBe(true)
    expect(covers({ version: older, context: [] }, newer)).toBe(false)
    expect(covers({ version: makeVersion(3, 0, 'b'), context: [] }, older)).toBe(false)
  })
})

describe('the version clock', () => {
  it('rises past everything it was shown, whatever the wall clock does', () => {
    const step = fc.oneof(
      fc.record({ wall: fc.integer({ min: 0, max: 1e6 }) }),
      fc.record({ seen: version }),
    )
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        let wall = 1000
        const clock = new VersionClock({ clock: { ...systemClock, now: () => wall }, site: 'me' })
        let highest = '' as Version
        for (const each of steps) {
          if ('wall' in each) wall = each.wall
          else if (timeOf(each.seen) < 2 ** 47) {
            clock.observe(each.seen)
            if (each.seen > highest) highest = each.seen
          }
          const made = clock.next()
          expect(made.slice(0, 16) > highest.slice(0, 16)).toBe(true)
          highest = made
        }
      }),
    )
  })

  it('goes on into the next millisecond when a millisecond has no stamps left', () => {
    const clock = new VersionClock({ clock: { ...systemClock, now: () => 5 }, site: 'me' })
    clock.observe(makeVersion(5, 0xffff, 'you'))
    expect(clock.next()).toBe(makeVersion(6, 0, 'me'))
  })
})
