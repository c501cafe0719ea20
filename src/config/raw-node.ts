/**
 * A value as somebody wrote it, before anything is known about its meaning: text, a list or named
 * fields, each with the place it came from. Flags, environment and file all end up in this form, so
 * that one schema judges them all and every complaint can name its line.
 */
import type { ValueSource } from './value-source.ts'

export interface RawNode {
  readonly source: ValueSource
  readonly value: string | readonly RawNode[] | ReadonlyMap<string, RawNode>
}

/** Lists and fields nest no deeper than the deepest key, `auth.tokens[].name`, and then some. */
export const rawDepthMax = 6

/** The same without sources. */
export function plainOf(node: RawNode): unknown {
  if (typeof node.value === 'string') return node.value
  if (isFields(node.value)) {
    return Object.fromEntries([...node.value].map(([name, field]) => [name, plainOf(field)]))
  }
  return node.value.map(plainOf)
}

export function isFields(value: RawNode['value']): value is ReadonlyMap<string, RawNode> {
  return value instanceof Map
}

/** The node at `path` below `node`, or the deepest one there is on the way. */
export function nodeAt(node: RawNode, path: readonly PropertyKey[]): RawNode {
  const [step, ...rest] = path
  if (step === undefined || typeof node.value === 'string') return node
  const next = isFields(node.value) ? node.value.get(String(step)) : node.value[Number(step)]
  return next === undefined ? node : nodeAt(next, rest)
}

/** A node from JSON, for lists that are given as JSON in the environment. */
export function rawFromJson(json: unknown, source: ValueSource): RawNode | undefined {
  if (json === null || json === undefined) return undefined
  if (Array.isArray(json)) {
    const items = json.map((item) => rawFromJson(item, source)).filter((item) => item !== undefined)
    return { source, value: items }
  }
  if (typeof json === 'object') {
    const fields = new Map<string, RawNode>()
    for (const [name, field] of Object.entries(json)) {
      const node = rawFromJson(field, source)
      if (node !== undefined) fields.set(name, node)
    }
    return { source, value: fields }
  }
  return { source, value: String(json) }
}
