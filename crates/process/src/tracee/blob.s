// The blob: see blob.rs, which names every constant in braces. A label that begins with 3 belongs to futexes, one with 2 and three digits to paths.
.pushsection .text.gapless_blob,"ax",@progbits
.balign 16
.globl gapless_blob
.globl gapless_blob_called
.globl gapless_blob_woke
.globl gapless_blob_park
.globl gapless_blob_waited
.globl gapless_blob_bail
.globl gapless_blob_end
gapless_blob:
    pushfq
    push rax
    push rdi
    push rsi
    push rdx
    push r8
    push r9
    push r10
    cld
    cmp dword ptr [{budget}], 0
    je 90f
    cmp dword ptr [{used}], {used_max}
    ja 90f
    cmp eax, {nr_read}
    je 20f
    cmp eax, {nr_write}
    je 30f
    cmp eax, {nr_clock_gettime}
    je 43f
    cmp eax, {nr_recvfrom}
    je 21f
    cmp eax, {nr_sendto}
    je 31f
    cmp eax, {nr_gettimeofday}
    je 12f
    cmp eax, {nr_time}
    je 14f
    cmp eax, {nr_writev}
    je 32f
    cmp eax, {nr_fstat}
    je 52f
    cmp eax, {nr_newfstatat}
    je 51f
    cmp eax, {nr_close}
    je 56f
    cmp eax, {nr_pread64}
    je 54f
    cmp eax, {nr_lseek}
    je 55f
    cmp eax, {nr_pwrite64}
    je 36f
    cmp eax, {nr_openat}
    je 201f
    cmp eax, {nr_open}
    je 202f
    cmp eax, {nr_stat}
    je 203f
    cmp eax, {nr_lstat}
    je 203f
    cmp eax, {nr_access}
    je 202f
    cmp eax, {nr_readlink}
    je 204f
    cmp eax, {nr_readlinkat}
    je 205f
    cmp eax, {nr_statx}
    je 206f
    cmp eax, {nr_futex}
    je 323f
    cmp eax, {nr_sched_yield}
    je 335f
    // A constant: r8 is the answer.
    cmp eax, 256
    jae 90f
    mov r8, qword ptr [rax * 8 + {values}]
    cmp r8, -1
    je 90f
    mov r10, rdi
    xor r9d, r9d
    mov rax, r8
    jmp 80f
    // clock_gettime(edi, rsi)
43:
    cmp edi, 8
    jae 90f
    mov ecx, {clocks}
    bt ecx, edi
    jnc 90f
    call 70f
    mov rax, r8
    mov ecx, {wall_clocks}
    bt ecx, r10d
    jnc 44f
    add rax, qword ptr [{realtime_offset}]
44:
    xor edx, edx
    mov ecx, 1000000000
    div rcx
    mov qword ptr [r9], rax
    mov qword ptr [r9 + 8], rdx
    xor eax, eax
    jmp 79f
    // gettimeofday(rdi, rsi)
12:
    test rsi, rsi
    jnz 90f
    test rdi, rdi
    jz 90f
    call 70f
    mov rax, r8
    add rax, qword ptr [{realtime_offset}]
    xor edx, edx
    mov ecx, 1000000000
    div rcx
    mov qword ptr [r10], rax
    mov rax, rdx
    xor edx, edx
    mov ecx, 1000
    div rcx
    mov qword ptr [r10 + 8], rax
    xor eax, eax
    jmp 79f
    // time(rdi)
14:
    call 70f
    mov rax, r8
    add rax, qword ptr [{realtime_offset}]
    xor edx, edx
    mov ecx, 1000000000
    div rcx
    test r10, r10
    jz 79f
    mov qword ptr [r10], rax
    jmp 79f
    // recvfrom(edi, rsi, rdx, r10, r8, r9): as read, if there are neither flags nor a place for the address.
21:
    test r10d, r10d
    jnz 90f
    test r8, r8
    jnz 90f
    call 60f
    test dword ptr [r8 + 12], {file}
    jnz 90f
    // read(edi, rsi, rdx)
20:
    call 60f
    test rdx, rdx
    jz 90f
    test dword ptr [r8 + 12], {file}
    jnz 53f
    test dword ptr [r8 + 12], {read}
    jz 90f
    mov ecx, dword ptr [r8 + 4]
    test ecx, ecx
    jz 22f
    cmp rcx, rdx
    cmova rcx, rdx
    mov rax, rcx
    mov rdi, rsi
    mov esi, dword ptr [r8]
    add rsi, {arena}
    rep movsb
    add dword ptr [r8], eax
    sub dword ptr [r8 + 4], eax
    mov r8, rax
    xor r9d, r9d
    jmp 80f
22:
    test dword ptr [r8 + 12], {read_empty}
    jz 90f
    mov rax, {eagain}
    mov r8, rax
    xor r9d, r9d
    jmp 80f
    // sendto(edi, rsi, rdx, r10, r8, r9): as write, if there is no address and no flag but MSG_NOSIGNAL.
31:
    test r8, r8
    jnz 90f
    test r10d, {not_nosignal}
    jnz 90f
    call 60f
    test dword ptr [r8 + 12], {own}
    jnz 90f
    // write(edi, rsi, rdx)
30:
    call 60f
    test dword ptr [r8 + 12], {write}
    jz 90f
    test rdx, rdx
    jz 90f
    mov ecx, dword ptr [r8 + 8]
    cmp rdx, rcx
    ja 90f
    mov ecx, dword ptr [{used}]
    lea rax, [rcx + rdx]
    cmp rax, {used_max}
    ja 90f
    lea rdi, [rcx + {journal} + {record_len}]
    mov rcx, rdx
    rep movsb
    sub dword ptr [r8 + 8], edx
    call 63f
    lea r9, [rdx + 7]
    and r9, -8
    mov r8, rdx
    mov rax, rdx
    jmp 80f
    // writev(edi, rsi, edx). In r11 the iovecs, in r9 the bytes that they name, in rdx their number.
32:
    call 60f
    test dword ptr [r8 + 12], {write}
    jz 90f
    test edx, edx
    jz 90f
    cmp edx, {iovecs_max}
    ja 90f
    mov r11, rsi
    xor r9d, r9d
    xor ecx, ecx
33:
    mov rax, qword ptr [r11 + rcx * 8 + 8]
    cmp rax, {used_max}
    ja 90f
    add r9, rax
    add ecx, 2
    lea eax, [rdx * 2]
    cmp ecx, eax
    jb 33b
    test r9, r9
    jz 90f
    mov eax, dword ptr [r8 + 8]
    cmp r9, rax
    ja 90f
    mov ecx, dword ptr [{used}]
    mov eax, edx
    shl eax, 4
    add rax, rcx
    add rax, r9
    cmp rax, {used_max}
    ja 90f
    lea rdi, [rcx + {journal} + {record_len}]
    mov rsi, r11
    mov ecx, edx
    shl ecx, 4
    rep movsb
    xor eax, eax
34:
    mov rsi, qword ptr [r11 + rax]
    mov rcx, qword ptr [r11 + rax + 8]
    rep movsb
    add eax, 16
    mov ecx, edx
    shl ecx, 4
    cmp eax, ecx
    jb 34b
    sub dword ptr [r8 + 8], r9d
    call 63f
    mov rax, r9
    mov r8d, edx
    shl r8, 32
    or r8, r9
    shl edx, 4
    lea r9, [r9 + rdx + 7]
    and r9, -8
    jmp 80f
    // pwrite64(edi, rsi, rdx, r10) of a file: its length goes before its bytes.
36:
    mov r11, r10
    call 60f
    test dword ptr [r8 + 12], {own}
    jz 90f
    test rdx, rdx
    jz 90f
    cmp r11, 0x7fffffff
    ja 90f
    cmp rdx, {used_max}
    ja 90f
    mov ecx, dword ptr [r8 + 4]
    lea rax, [r11 + rdx]
    cmp rax, rcx
    ja 90f
    mov ecx, dword ptr [{used}]
    lea rax, [rcx + rdx + 8]
    cmp rax, {used_max}
    ja 90f
    lea rdi, [rcx + {journal} + {record_len}]
    mov qword ptr [rdi], rdx
    add rdi, 8
    mov rcx, rdx
    rep movsb
    lea r9, [rdx + 8 + 7]
    and r9, -8
    mov r8, r11
    mov rax, rdx
    jmp 80f
    // newfstatat(edi, rsi, rdx, r10): of a path, or of the descriptor itself.
51:
    mov r9, rdx
    cmp byte ptr [rsi], 0
    jne 210f
    cmp r10d, {empty_path}
    jne 90f
    mov rsi, rdx
    // fstat(edi, rsi)
52:
    call 60f
    test dword ptr [r8 + 12], {file}
    jz 90f
    mov rdi, rsi
    mov esi, dword ptr [r8]
    lea rsi, [rsi + {arena} - {stat_len}]
    mov ecx, {stat_len}
    rep movsb
    jmp 57f
    // read of a file, at its offset, which moves on.
53:
    mov r11d, dword ptr [r8 + 8]
    call 61f
    add dword ptr [r8 + 8], eax
    jmp 58f
    // pread64(edi, rsi, rdx, r10)
54:
    cmp r10, 0x7fffffff
    ja 90f
    mov r11, r10
    call 60f
    test rdx, rdx
    jz 90f
    test dword ptr [r8 + 12], {file}
    jz 90f
    call 61f
    jmp 58f
    // lseek(edi, rsi, edx)
55:
    call 60f
    test dword ptr [r8 + 12], {file}
    jz 90f
    xor eax, eax
    cmp edx, {seek_set}
    je 59f
    mov eax, dword ptr [r8 + 8]
    cmp edx, {seek_cur}
    je 59f
    mov eax, dword ptr [r8 + 4]
    cmp edx, {seek_end}
    jne 90f
59:
    add rax, rsi
    cmp rax, 0x7fffffff
    ja 90f
    mov dword ptr [r8 + 8], eax
    jmp 58f
    // close(edi) of a file.
56:
    call 60f
    test dword ptr [r8 + 12], {file}
    jz 90f
    mov dword ptr [r8 + 12], 0
    cmp r10d, dword ptr [{fds_limit}]
    jae 57f
    bts qword ptr [{free}], r10
57:
    xor eax, eax
58:
    mov r8, rax
    xor r9d, r9d
    jmp 80f
    // openat(edi, rsi, edx)
201:
    mov r10d, edx
    jmp 209f
    // open(rdi, esi), access(rdi, esi)
202:
    mov r10d, esi
    jmp 208f
    // stat(rdi, rsi), lstat(rdi, rsi)
203:
    mov r9, rsi
    xor r10d, r10d
    jmp 208f
    // readlink(rdi, rsi, edx)
204:
    mov r9, rsi
    mov rsi, rdi
    mov edi, {cwd}
    jmp 207f
    // readlinkat(edi, rsi, rdx, r10d)
205:
    mov r9, rdx
    mov edx, r10d
207:
    xor r10d, r10d
    test edx, edx
    jg 211f
    jmp 90f
    // statx(edi, rsi, edx, r10d, r8): the highest bit of the mask is reserved.
206:
    test r10d, r10d
    js 90f
    mov r9, r8
    mov r10d, edx
    jmp 210f
208:
    mov rsi, rdi
    mov edi, {cwd}
209:
    xor r9d, r9d
210:
    mov edx, 0x7fffffff
    // A call on a path: directory edi, path rsi, flags r10d; up to edx bytes to r9. Its hash into r11d, the length of the path into ecx.
211:
    mov ecx, dword ptr [{owner}]
    cmp edi, {cwd}
    je 219f
    cmp byte ptr [rsi], {slash}
    je 219f
    mov ecx, dword ptr [{owner} + 4]
219:
    or eax, ecx
    push rax
    mov r11d, eax
    xor r11d, {hash_start}
    xor ecx, ecx
212:
    movzx r8d, byte ptr [rsi + rcx]
    test r8d, r8d
    jz 213f
    xor r11d, r8d
    imul r11d, r11d, {hash_prime}
    inc ecx
    cmp ecx, {path_max}
    jbe 212b
    jmp 90f
213:
    and r11d, {buckets_mask}
    mov r8d, dword ptr [r11 * 4 + {names}]
    jmp 215f
    // Is r8 the entry of this call?
214:
    mov r8d, dword ptr [r8 + {names} + {entry_next}]
215:
    test r8d, r8d
    jz 90f
    cmp dword ptr [r8 + {names} + {entry_call}], eax
    jne 214b
    cmp dword ptr [r8 + {names} + {entry_dirfd}], edi
    jne 214b
    cmp dword ptr [r8 + {names} + {entry_flags}], r10d
    jne 214b
    cmp dword ptr [r8 + {names} + {entry_len}], ecx
    jne 214b
    xor r11d, r11d
    jmp 217f
216:
    mov al, byte ptr [rsi + r11]
    cmp al, byte ptr [r8 + r11 + {names} + {entry_path}]
    jne 218f
    inc r11d
217:
    cmp r11d, ecx
    jb 216b
    movsxd rax, dword ptr [r8 + {names} + {entry_result}]
    cmp dword ptr [r8 + {names} + {entry_opens}], 0
    je 222f
    // An open: the lowest free descriptor into ecx. Without one it would fail otherwise.
    xor ecx, ecx
220:
    mov rdx, qword ptr [rcx * 8 + {free}]
    test rdx, rdx
    jnz 221f
    inc ecx
    cmp ecx, {fds_max} / 64
    jb 220b
    jmp 90f
221:
    test rax, rax
    js 223f
    bsf rdx, rdx
    shl ecx, 6
    add ecx, edx
    btr qword ptr [{free}], rcx
    mov eax, ecx
    shl ecx, 4
    mov rdx, qword ptr [r8 + {names} + {entry_grant}]
    mov qword ptr [rcx + {grants}], rdx
    mov rdx, qword ptr [r8 + {names} + {entry_grant} + 8]
    mov qword ptr [rcx + {grants} + 8], rdx
    jmp 223f
    // Another path with the same beginning of the hash: the word of the call is compared again.
218:
    mov eax, dword ptr [rsp]
    jmp 214b
222:
    mov ecx, dword ptr [r8 + {names} + {entry_bytes_len}]
    cmp ecx, edx
    cmova ecx, edx
    mov edx, dword ptr [r8 + {names} + {entry_counts}]
    and edx, ecx
    add rax, rdx
    mov rdi, r9
    mov esi, dword ptr [r8 + {names} + {entry_bytes}]
    rep movsb
    // Its value: the number of the entry, and the result.
223:
    mov r10d, dword ptr [{frame_arg}]
    mov r8d, dword ptr [r8 + {names} + {entry_number}]
    mov ecx, eax
    shl rcx, 32
    or r8, rcx
    xor r9d, r9d
    jmp 80f
    // futex(rdi, esi, edx, r10, r8, r9d): the command into ecx, the bitset into r11d.
323:
    test edi, 3
    jnz 90f
    mov ecx, esi
    and ecx, {futex_command}
    mov r11d, -1
    cmp ecx, {futex_wake}
    je 324f
    cmp ecx, {futex_wait}
    je 328f
    mov r11d, r9d
    test r11d, r11d
    jz 90f
    cmp ecx, {futex_wake_bitset}
    je 324f
    cmp ecx, {futex_wait_bitset}
    je 328f
    jmp 90f
    // Wakes up to edx, one at least, of those who wait for the word at rdi and whose bitset meets r11d; the first of them decides whether it can
    // be done here.
324:
    mov r9d, 1
    cmp edx, r9d
    cmovl edx, r9d
    mov ecx, dword ptr [{waiting}]
    cmp ecx, {waiters_max}
    ja 90f
    shl ecx, 4
    add ecx, {waiters}
    mov r8d, {waiters}
    xor eax, eax
325:
    cmp r8d, ecx
    jae 327f
    cmp qword ptr [r8], rdi
    jne 326f
    test dword ptr [r8 + 8], r11d
    jz 326f
    cmp eax, edx
    jae 327f
    mov r9d, dword ptr [r8 + 12]
    cmp r9d, {ambiguous}
    je 90f
    // Now somebody else is ready: no more events than the slice leaves, and one at least.
    mov r10d, dword ptr [{slice_end}]
    sub r10d, dword ptr [{events}]
    jbe 90f
    cmp r10d, dword ptr [{budget}]
    cmova r10d, dword ptr [{budget}]
    mov dword ptr [{budget}], r10d
    mov qword ptr [r8], 0
    mov r10d, dword ptr [{ready_tail}]
    mov dword ptr [r10 * 4 + {ready}], r9d
    inc dword ptr [{ready_tail}]
    inc eax
326:
    add r8d, 16
    jmp 325b
327:
    xor r8d, r8d
    jmp 329f
    // Waits if the word at rdi is edx.
328:
    mov r8d, dword ptr [rdi]
    mov rax, {eagain}
    cmp r8d, edx
    jne 329f
    // Then the baton passes: from this thread, whose slot is r9, to the one at r11 that is ready next, if that one is parked. The word is private.
    test r10, r10
    jnz 90f
    mov r9d, dword ptr [{holder}]
    test r9d, r9d
    jz 90f
    cmp dword ptr [{budget}], 2
    jb 90f
    cmp rdi, qword ptr [{shared_start}]
    jb 336f
    cmp rdi, qword ptr [{shared_end}]
    jb 90f
336:
    mov ecx, dword ptr [{ready_head}]
    cmp ecx, dword ptr [{ready_tail}]
    je 90f
    mov eax, dword ptr [rcx * 4 + {ready}]
    test eax, eax
    jz 90f
    // It waits behind the last one that still does.
    mov ecx, dword ptr [{waiting}]
    cmp ecx, {waiters_max}
    jae 90f
    shl ecx, 4
337:
    jz 338f
    cmp qword ptr [rcx + {waiters} - 16], 0
    jne 338f
    sub ecx, 16
    jmp 337b
338:
    mov qword ptr [rcx + {waiters}], rdi
    mov dword ptr [rcx + {waiters} + 8], r11d
    mov dword ptr [rcx + {waiters} + 12], r9d
    shr ecx, 4
    inc ecx
    mov dword ptr [{waiting}], ecx
    inc dword ptr [{ready_head}]
    mov r11d, eax
    // Two events: it blocks, and the other one's call returns.
    mov ecx, dword ptr [{used}]
    lea edi, [rcx + {journal} + {record_len}]
    mov esi, {frame}
    mov ecx, 6
    rep movsq
    mov qword ptr [rdi], r8
    mov ecx, dword ptr [{used}]
    mov dword ptr [rcx + {journal}], {nr_futex}
    mov eax, dword ptr [{frame_arg}]
    mov dword ptr [rcx + {journal} + 4], eax
    mov qword ptr [rcx + {journal} + 8], -1
    mov dword ptr [rcx + {journal} + {record_len} + {futex_len}], {handed_over}
    mov dword ptr [rcx + {journal} + {record_len} + {futex_len} + 4], 0
    mov qword ptr [rcx + {journal} + {record_len} + {futex_len} + 8], r11
    add dword ptr [{used}], 2 * {record_len} + {futex_len}
    // The other one has a slice of its own.
    mov ecx, dword ptr [{events}]
    add ecx, 2
    mov dword ptr [{events}], ecx
    mov edx, dword ptr [{limit}]
    sub edx, ecx
    add ecx, {slice} - 1
    mov dword ptr [{slice_end}], ecx
    mov eax, dword ptr [{ready_head}]
    cmp eax, dword ptr [{ready_tail}]
    je 339f
    mov ecx, {slice} - 1
    cmp edx, ecx
    cmova edx, ecx
339:
    mov dword ptr [{budget}], edx
    mov dword ptr [{holder}], r11d
    mov ecx, dword ptr [r11 + 4]
    mov qword ptr [{values} + {nr_gettid} * 8], rcx
    // This one parks: everything that it returns with goes to its slot.
    mov rax, qword ptr [{saved_rsp}]
    mov qword ptr [r9 + 8], rax
    lea edi, [r9 + 16]
    mov esi, {frame}
    mov ecx, {frame_words}
    rep movsq
    mov dword ptr [r9], {parked}
    // From here on all of the lane but the slots is the other one's, the stack too.
    mov dword ptr [r11], {go}
    mov edi, r11d
    mov eax, {nr_futex}
    mov esi, {futex_wake}
    mov edx, 1
    syscall
gapless_blob_woke:
    mov edi, r9d
    // Parked, with its slot at rdi, until it has the baton.
gapless_blob_park:
345:
    mov r9d, dword ptr [rdi]
    cmp r9d, {parked}
    jne 346f
    mov eax, {nr_futex}
    mov esi, {futex_wait}
    mov edx, {parked}
    xor r10d, r10d
    syscall
gapless_blob_waited:
    jmp 345b
346:
    mov rax, qword ptr [rdi + 8]
    mov qword ptr [{saved_rsp}], rax
    lea esi, [rdi + 16]
    mov edi, {frame}
    mov ecx, {frame_words}
    rep movsq
    cmp r9d, {go}
    jne 90f
    mov qword ptr [{frame_nr}], 0
    jmp 91f
    // Journalled with all arguments, as the frame has them: r8 the word, if it was read; rax is the result.
329:
    mov ecx, dword ptr [{used}]
    lea edi, [rcx + {journal} + {record_len}]
    mov esi, {frame}
    mov ecx, 6
    rep movsq
    mov qword ptr [rdi], r8
    mov r8, rax
    mov r10d, dword ptr [{frame_arg}]
    mov r9d, {futex_len}
    jmp 80f
    // sched_yield(), while nobody else is ready; who is woken after it is next.
335:
    mov eax, dword ptr [{ready_head}]
    cmp eax, dword ptr [{ready_tail}]
    jne 90f
    mov dword ptr [{slice_end}], 0
    mov r10d, edi
    jmp 57b
    // The grant of descriptor edi: into r8, and edi into r10d.
60:
    cmp edi, {fds_max}
    jae 90f
    mov r10d, edi
    mov r8d, edi
    shl r8d, 4
    add r8d, {grants}
    ret
    // Something was written by the grant r8: what goes to a stream waits to leave.
63:
    test dword ptr [r8 + 12], {own}
    jnz 64f
    inc dword ptr [{said}]
64:
    ret
    // Up to rdx bytes of a file from offset r11 on, to rsi: their number into rax.
61:
    xor eax, eax
    mov ecx, dword ptr [r8 + 4]
    sub rcx, r11
    jbe 62f
    cmp rcx, rdx
    cmova rcx, rdx
    mov rax, rcx
    mov rdi, rsi
    mov esi, dword ptr [r8]
    lea rsi, [rsi + r11 + {arena}]
    rep movsb
62:
    ret
    // A reading of the clock: into r8, with rdi in r10 and rsi in r9. Returns only if there is one.
70:
    mov r9, rsi
    mov r10, rdi
    cmp dword ptr [{live}], 0
    je 71f
    cmp dword ptr [{counter}], 0
    je 73f
    // By the counter: since a moment that is not long ago.
    lfence
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, qword ptr [{counter_base}]
    jb 90f
    mov rcx, {counter_ticks_max}
    cmp rax, rcx
    ja 90f
    mul qword ptr [{counter_rate}]
    shrd rax, rdx, 32
    add rax, qword ptr [{counter_nanos}]
    mov r8, rax
    cmp r8, qword ptr [{now}]
    cmovb r8, qword ptr [{now}]
    jmp 72f
    // By a call.
73:
    mov eax, {nr_clock_gettime}
    mov edi, 1
    mov esi, {timespec}
    syscall
gapless_blob_called:
    test rax, rax
    jnz 90f
    imul r8, qword ptr [{timespec}], 1000000000
    add r8, qword ptr [{timespec} + 8]
    add r8, qword ptr [{clock_offset}]
    cmp r8, qword ptr [{now}]
    cmovl r8, qword ptr [{now}]
    jmp 72f
71:
    mov ecx, dword ptr [{ring_next}]
    cmp ecx, dword ptr [{ring_count}]
    jae 90f
    mov edx, ecx
    shl edx, 4
    mov eax, dword ptr [rdx + {ring}]
    cmp eax, dword ptr [{events}]
    jne 90f
    mov r8, qword ptr [rdx + {ring} + 8]
    inc ecx
    mov dword ptr [{ring_next}], ecx
72:
    cmp r8, qword ptr [{due}]
    jae 90f
    ret
    // Journalled: call number from the frame, r10d first argument, r8 value, r9 bytes that follow; rax is the result.
79:
    mov qword ptr [{now}], r8
    xor r9d, r9d
80:
    mov ecx, dword ptr [{used}]
    mov edx, dword ptr [{frame_nr}]
    mov dword ptr [rcx + {journal}], edx
    mov dword ptr [rcx + {journal} + 4], r10d
    mov qword ptr [rcx + {journal} + 8], r8
    lea ecx, [rcx + r9 + {record_len}]
    mov dword ptr [{used}], ecx
    inc dword ptr [{events}]
    dec dword ptr [{budget}]
    mov qword ptr [{frame_nr}], rax
    jmp 91f
    // Not answered: back to where the stub makes the call.
90:
gapless_blob_bail:
    add qword ptr [{frame_return}], {slow}
91:
    mov esp, {frame}
    pop r10
    pop r9
    pop r8
    pop rdx
    pop rsi
    pop rdi
    pop rax
    mov r11, qword ptr [rsp]
    popfq
    pop rcx
    mov rsp, qword ptr [{saved_rsp}]
    jmp rcx
gapless_blob_end:
.popsection
