/**
 * Reads the XML that a ComIO site answers with: elements and text, the five named entities and
 * numeric ones. Attributes are skipped; comments, CDATA, document types and anything unbalanced
 * are refused, because no site of ours sends them.
 */
import { S3AnswerError } from './client-errors.ts'

export interface XmlElement {
  readonly name: string
  readonly text: string
  readonly children: readonly XmlElement[]
}

interface OpenElement {
  readonly name: string
  text: string
  readonly children: XmlElement[]
}

const depthMax = 16
const declaration = /^\s*<\?xml[^?]*\?>/
const token = /<(\/?)([A-Za-z_][\w.:-]*)((?:\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>/y
const namedEntities: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
}

/** The root element of `xml`. @throws S3AnswerError */
export function parseXml(xml: string): XmlElement {
  let position = declaration.exec(xml)?.[0].length ?? 0
  const top: OpenElement = { name: '', text: '', children: [] }
  const open: OpenElement[] = [top]
  while (position < xml.length) {
    const tagAt = xml.indexOf('<', position)
    const textEnd = tagAt < 0 ? xml.length : tagAt
    appendText(open, xml.slice(position, textEnd))
    if (tagAt < 0) break
    token.lastIndex = tagAt
    const tag = token.exec(xml)
    if (tag === null) throw notUnderstood(`no element begins at character ${tagAt}`)
    applyTag(open, tag)
    position = token.lastIndex
  }
  const root = top.children[0]
  if (open.length !== 1 || root === undefined || top.children.length !== 1) {
    throw notUnderstood('its elements are not balanced')
  }
  return root
}

/** The text of the child `name`. @throws S3AnswerError unless there is exactly one */
export function requireText(element: XmlElement, name: string): string {
  const found = childrenNamed(element, name)
  const text = found[0]?.text
  if (found.length !== 1 || text === undefined) {
    throw notUnderstood(`<${element.name}> has ${found.length} times <${name}>`)
  }
  return text
}

/** The text of the first child `name`, if there is one. */
export function findText(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text
}

export function childrenNamed(element: XmlElement, name: string): readonly XmlElement[] {
  return element.children.filter((child) => child.name === name)
}

function applyTag(open: OpenElement[], tag: RegExpExecArray): void {
  const [, closing, name = '', attributes, selfClosing] = tag
  if (closing === '/') {
    const element = open.pop()
    const parent = open.at(-1)
    if (element?.name !== name || parent === undefined || attributes || selfClosing) {
      throw notUnderstood(`</${name}> closes nothing`)
    }
    parent.children.push(element)
    return
  }
  const element: OpenElement = { name, text: '', children: [] }
  if (selfClosing === '/') {
    open.at(-1)?.children.push(element)
    return
  }
  if (open.length > depthMax) throw notUnderstood('its elements are nested too deeply')
  open.push(element)
}

function appendText(open: readonly OpenElement[], raw: string): void {
  if (raw === '') return
  const element = open.at(-1)
  if (element === undefined || open.length === 1) {
    if (raw.trim() !== '') throw notUnderstood('there is text outside its root element')
    return
  }
  element.text += raw.includes('&') ? raw.replaceAll(/&([^;&]{0,10});?/g, decodeEntity) : raw
}

function decodeEntity(entity: string, name: string): string {
  if (!entity.endsWith(';')) throw notUnderstood('it has a bare ampersand')
  const named = namedEntities[name]
  if (named !== undefined) return named
  const match = /^#(?:x([0-9a-f]{1,6})|(\d{1,7}))$/i.exec(name)
  const point = match?.[1] === undefined ? Number(match?.[2]) : Number.parseInt(match[1], 16)
  if (!(point <= 0x10ffff)) throw notUnderstood(`it has the unknown entity ${entity}`)
  return String.fromCodePoint(point)
}

function notUnderstood(detail: string): S3AnswerError {
  return new S3AnswerError(`the site answered with XML that is not understood: ${detail}`)
}
