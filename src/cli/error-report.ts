/** An error as it is shown. */
export interface ErrorReport {
  readonly message: string
  readonly code: string
  readonly hint: string | undefined
}
