export async function port(_net: string | undefined, _o: object): Promise<number> {
  return 1;
}
