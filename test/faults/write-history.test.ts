import { beforeEach, describe, expect, it } from 'vitest'
import { type FinalState, type SiteNumber, type Write, WriteHistory } from './write-history.ts'

let now = 0
let history: WriteHistory

beforeEach(() => {
  now = 0
  history = new WriteHistory(() => now++)
})

function begin(site: SiteNumber, etag: string | undefined): Write {
  return history.begin({ site, key: 'key', etag })
}

function write(site: SiteNumber, etag: string | undefined): Write {
  const begun = begin(site, etag)
  history.answered(begun)
  return begun
}

function findings(etag: string | undefined, more: Partial<FinalState> = {}): readonly string[] {
  const objects = new Map(etag === undefined ? [] : [['key', etag]])
  return history.findings({ objects, losers: [], wasCutOff: () => false, ...more })
}

const alwaysCutOff = { wasCutOff: () => true }

describe('the history of writes at two sites', () => {
  it('accepts the last of them, and either of two at the same time', () => {
    write(0, 'one')
    write(0, 'two')
    expect(findings('two')).toEqual([])
    const [three, four] = [begin(0, 'three'), begin(0, 'four')]
    history.answered(three)
    history.answered(four)
    expect(findings('three')).toEqual([])
    expect(findings('four')).toEqual([])
  })

  it('finds an older write, a foreign one and a foreign object', () => {
    write(0, 'one')
    write(0, 'two')
    expect(findings('one')).toEqual([
      expect.stringContaining('although a put of two'),
      expect.stringContaining('a put of two at site 0 (2 ms) was answered, and is neither'),
    ])
    expect(findings('three')[0]).toContain('which nobody wrote')
    const objects = new Map([...[['key', 'two']], ['other', 'x']] as [string, string][])
    expect(findings('two', { objects })).toEqual(['other is there, and nobody wrote it'])
  })

  it('finds an answered write that is gone, and one that was deleted and came back', () => {
    write(0, 'one')
    expect(findings(undefined)).toEqual([
      'key is absent, although each delete was followed by a put at its site',
      expect.stringContaining('a put of one'),
    ])
    write(0, undefined)
    expect(findings(undefined)).toEqual([])
    expect(findings('one')[0]).toContain('although a delete at site 0')
  })

  it('leaves open what became of a write that was never answered', () => {
    write(0, 'one')
    history.lost(begin(0, 'two'))
    expect(findings('one')).toEqual([])
    expect(findings('two')).toEqual([])
    write(0, 'three')
    expect(findings('two')[0]).toContain('although a put of three')
  })

  it('wants the loser of two writes that did not see each other listed', () => {
    write(0, 'one')
    write(1, 'two')
    expect(findings('two')).toEqual([])
    expect(findings('two', alwaysCutOff)).toEqual([expect.stringContaining('a put of one')])
    const losers = [{ key: 'key', etag: 'one' }]
    expect(findings('two', { ...alwaysCutOff, losers })).toEqual([])
    expect(findings('one', { ...alwaysCutOff, losers })).toEqual([
      expect.stringContaining('a put of two'),
    ])
  })

  it('wants a delete listed that lost against a put it had not seen, unless it found nothing', () => {
    write(0, 'one')
    write(0, undefined)
    write(1, 'two')
    expect(findings('two', alwaysCutOff)).toEqual([expect.stringContaining('a delete at site 0')])
    expect(findings('two', { losers: [{ key: 'key', etag: undefined }] })).toEqual([])
    write(0, undefined)
    expect(findings('two', { ...alwaysCutOff, losers: [] })).toEqual([])
  })
})
