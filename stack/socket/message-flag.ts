// Flags of socket calls.

/** Flags of messages, Linux's numbers. Others are ignored. */
export const MessageFlag = { Peek: 0x2, Truncate: 0x20, ErrorQueue: 0x2000, More: 0x8000 } as const;
