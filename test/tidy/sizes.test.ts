import { describe, expect, it } from 'vitest'
import { findOversizes } from '../../scripts/tidy/sizes.ts'
import { found } from './planted-project.ts'

const sizes = (files: Record<string, string>, allowed: Record<string, number> = {}) =>
  found((project) => findOversizes(project, allowed), files)

/** A function called `run` of `lines` lines. */
const functionOf = (lines: number) => `function run() {${'\n'.repeat(lines - 1)}}`

describe('sizes', () => {
  it('lets pass what is within the limits', () => {
    const text = `${functionOf(70)}\nconst f = (a: 1, b: 2, c: 3) => a`
    expect(sizes({ 'src/a.ts': text, 'test/a.test.ts': functionOf(200) })).toEqual([])
  })

  it('reports a function of more than 70 lines, whatever its form', () => {
    const body = `{${'\n'.repeat(70)}}`
    const text = `function a() ${body}
      const b = () => ${body}
      class C { d() ${body} #e() ${body} }
      const f = { g() ${body} }`
    expect(sizes({ 'src/x.ts': text })).toEqual(
      ['a', 'b', 'd', '#e', 'g'].map((name) =>
        expect.stringContaining(`src/x.ts:${name} has 71 lines, at most 70 are allowed`),
      ),
    )
  })

  it('reports a file of more than 500 lines, tests included', () => {
    const text = `${'\n'.repeat(500)}const a = 1\n`
    expect(sizes({ 'src/x.ts': text, 'test/x.test.ts': text })).toEqual([
      'src/x.ts:0 src/x.ts has 501 lines, at most 500 are allowed',
      'test/x.test.ts:0 test/x.test.ts has 501 lines, at most 500 are allowed',
    ])
  })

  it('reports more than three parameters, in types and constructors too, but not of callbacks', () => {
    const list = 'a: 1, b: 2, c: 3, d = 4'
    const text = `function f(${list}) {}
      class C { constructor(${list}) {} m(this: C, a: 1, b: 2, c: 3) {} }
      interface I { n(a: 1, b: 2, c: 3, d: 4): void }
      call((a, b, c, d) => d)
      type T<A, B, C, D> = Map<A, B>
      function g({ a, b, c, d }: X, ...rest: Y[]) {}`
    expect(sizes({ 'src/x.ts': text })).toEqual(
      ['f', 'constructor', 'n'].map((name) =>
        expect.stringContaining(`src/x.ts:${name} has 4 parameters, at most 3 are allowed`),
      ),
    )
  })

  it('accepts what is listed, and has the list shrink with it', () => {
    const files = { 'src/x.ts': functionOf(80) }
    const key = 'lines src/x.ts:run'
    expect(sizes(files, { [key]: 80 })).toEqual([])
    expect(sizes(files, { [key]: 79 })).toEqual([
      'src/x.ts:1 src/x.ts:run has 80 lines, at most 79 are allowed',
    ])
    expect(sizes(files, { [key]: 81 })).toEqual([expect.stringContaining(`lower '${key}'`)])
    expect(sizes({}, { [key]: 80 })).toEqual([expect.stringContaining('remove it')])
  })
})
