/** Where a value of the configuration came from. */

export type ValueSource =
  | { readonly kind: 'flag'; readonly name: string }
  | { readonly kind: 'environment'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string; readonly line: number | undefined }
  | { readonly kind: 'default' }

/** `flag --port`, `environment variable COMIO_SERVER_PORT`, `config.yaml:3`, `default`. */
export function describeSource(source: ValueSource): string {
  switch (source.kind) {
    case 'flag':
      return `flag --${source.name}`
    case 'environment':
      return `environment variable ${source.name}`
    case 'file':
      return source.line === undefined ? source.path : `${source.path}:${source.line}`
    case 'default':
      return 'default'
  }
}
