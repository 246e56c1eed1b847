using Distributed.Engine.Kernels.Emission;
using static Distributed.Engine.Kernels.Emission.Register;

namespace Distributed.Engine.Tests.Kernels.Emission;

/// <summary>Each form that is emitted against the bytes that GNU as 2.40 gives for it.</summary>
public sealed class AssemblerTests
{
    [Fact]
    public void GeneralInstructions_HaveTheBytesOfGnuAs()
    {
        Check("53", code => code.Push(Rbx)); // push rbx
        Check("56", code => code.Push(Rsi)); // push rsi
        Check("5e", code => code.Pop(Rsi)); // pop rsi
        Check("5b", code => code.Pop(Rbx)); // pop rbx
        Check("c3", code => code.Return()); // ret
        Check("4889fe", code => code.Move(Rsi, Rdi)); // mov rsi, rdi
        Check("4889c8", code => code.Move(Rax, Rcx)); // mov rax, rcx
        Check("4d89cb", code => code.Move(R11, R9)); // mov r11, r9
        Check("488b4e08", code => code.Load(Rcx, new Address(Rsi, Displacement: 8))); // mov rcx, [rsi+8]
        Check("4c8b4e18", code => code.Load(R9, new Address(Rsi, Displacement: 24))); // mov r9, [rsi+24]
        Check("488b06", code => code.Load(Rax, new Address(Rsi))); // mov rax, [rsi]
        Check("4d8b1c4a", code => code.Load(R11, new Address(R10, Rcx, 2))); // mov r11, [r10+rcx*2]
        Check("4c895e38", code => code.Store(new Address(Rsi, Displacement: 56), R11)); // mov [rsi+56], r11
        Check("48898688000000", code => code.Store(new Address(Rsi, Displacement: 136), Rax)); // mov [rsi+136], rax
        Check("4c8d0449", code => code.LoadAddress(R8, new Address(Rcx, Rcx, 2))); // lea r8, [rcx+rcx*2]
        Check("4f8d1449", code => code.LoadAddress(R10, new Address(R9, R9, 2))); // lea r10, [r9+r9*2]
        Check("4d8d9b00040000", code => code.LoadAddress(R11, new Address(R11, Displacement: 1024))); // lea r11, [r11+1024]
        Check("48034640", code => code.Add(Rax, new Address(Rsi, Displacement: 64))); // add rax, [rsi+64]
        Check("4801d0", code => code.Add(Rax, Rdx)); // add rax, rdx
        Check("4883c040", code => code.Add(Rax, 64)); // add rax, 64
        Check("4883c340", code => code.Add(Rbx, 64)); // add rbx, 64
        Check("49ffcb", code => code.Decrement(R11)); // dec r11
        Check("48ffc8", code => code.Decrement(Rax)); // dec rax
        Check("48ff4e38", code => code.Decrement(new Address(Rsi, Displacement: 56))); // dec qword ptr [rsi+56]
        Check("4d85db", code => code.Test(R11)); // test r11, r11
        Check("48837e7800", code => code.Compare(new Address(Rsi, Displacement: 120), 0)); // cmp qword ptr [rsi+120], 0
        Check("0f1813", code => code.PrefetchToLevel2(new Address(Rbx))); // prefetcht1 [rbx]
        Check("0f18144b", code => code.PrefetchToLevel2(new Address(Rbx, Rcx, 2))); // prefetcht1 [rbx+rcx*2]
        Check("420f181403", code => code.PrefetchToLevel2(new Address(Rbx, R8))); // prefetcht1 [rbx+r8]
        Check("0f1893c0000000", code => code.PrefetchToLevel2(new Address(Rbx, Displacement: 192))); // prefetcht1 [rbx+192]
        Check("55", code => code.Push(Rbp)); // push rbp
        Check("5f", code => code.Pop(Rdi)); // pop rdi
        Check("4b8d3c88", code => code.LoadAddress(Rdi, new Address(R8, R9, 4))); // lea rdi, [r8+r9*4]
        Check("0f18540d40", code => code.PrefetchToLevel2(new Address(Rbp, Rcx, Displacement: 64))); // prefetcht1 [rbp+rcx+64]
        Check("0f185500", code => code.PrefetchToLevel2(new Address(Rbp))); // prefetcht1 [rbp]
        Check("4881c510010000", code => code.Add(Rbp, 272)); // add rbp, 272
    }

    [Fact]
    public void VectorInstructions_HaveTheBytesOfGnuAs()
    {
        Check("c4e1f9904e28", code => code.LoadMask(new Address(Rsi, Displacement: 40))); // kmovd k1, dword ptr [rsi+40]
        Check("62e27e4852c4", code => code.DotBFloat16(16, 0, 4)); // vdpbf16ps zmm16, zmm0, zmm4
        Check("6222664852fd", code => code.DotBFloat16(31, 3, 21)); // vdpbf16ps zmm31, zmm3, zmm21
        Check("62e25e48520c08", code => code.DotBFloat16(17, 4, new Address(Rax, Rcx))); // vdpbf16ps zmm17, zmm4, [rax+rcx]
        Check("62a25e48521c00", code => code.DotBFloat16(19, 4, new Address(Rax, R8))); // vdpbf16ps zmm19, zmm4, [rax+r8]
        Check("62d20e40521a", code => code.DotBFloat16(3, 30, new Address(R10))); // vdpbf16ps zmm3, zmm30, [r10]
        Check("62f17c481022", code => code.LoadVector(4, new Address(Rdx))); // vmovups zmm4, [rdx]
        Check("62b17c48102c4a", code => code.LoadVector(5, new Address(Rdx, R9, 2))); // vmovups zmm5, [rdx+r9*2]
        Check("62417c48107b0f", code => code.LoadVector(31, new Address(R11, Displacement: 960))); // vmovups zmm31, [r11+960]
        Check("62417c4810bb00400000", code => code.LoadVector(31, new Address(R11, Displacement: 16384))); // vmovups zmm31, [r11+16384]
        Check("62c17c48114b01", code => code.StoreVector(new Address(R11, Displacement: 64), 17)); // vmovups [r11+64], zmm17
        Check("62d17c481103", code => code.StoreVector(new Address(R11), 0)); // vmovups [r11], zmm0
        Check("62f1ffc96f00", code => code.LoadVectorMasked(0, new Address(Rax))); // vmovdqu16 zmm0{k1}{z}, [rax]
        Check("62b1ffc96f1c00", code => code.LoadVectorMasked(3, new Address(Rax, R8))); // vmovdqu16 zmm3{k1}{z}, [rax+r8]
        Check("62a17d40efc0", code => code.Zero(16)); // vpxord zmm16, zmm16, zmm16
        Check("62f17d48efc0", code => code.Zero(0)); // vpxord zmm0, zmm0, zmm0
        Check("62a15c4858c0", code => code.AddVectors(16, 4, 16)); // vaddps zmm16, zmm4, zmm16
        Check("62915c4058c7", code => code.AddVectors(0, 20, 31)); // vaddps zmm0, zmm20, zmm31
        Check("62b37d4023e444", code => code.ShuffleQuarters(4, 16, 20, 0x44)); // vshuff32x4 zmm4, zmm16, zmm20, 0x44
        Check("6293754823c7dd", code => code.ShuffleQuarters(0, 1, 31, 0xDD)); // vshuff32x4 zmm0, zmm1, zmm31, 0xdd
        Check("62f17c48c6e188", code => code.ShuffleLanes(4, 0, 1, 0x88)); // vshufps zmm4, zmm0, zmm1, 0x88
        Check("62617c40c6c7ee", code => code.ShuffleLanes(24, 16, 7, 0xEE)); // vshufps zmm24, zmm16, zmm7, 0xee
        Check("c5f877", code => code.ZeroUpper()); // vzeroupper
    }

    [Fact]
    public void InstructionsOfIntegers_HaveTheBytesOfGnuAs()
    {
        Check("62227558507c4a07", code => code.DotBytes(31, 1, new Address(Rdx, R9, 2, 28))); // vpdpbusd zmm31, zmm1, dword ptr [rdx+r9*2+28]{1to16}
        Check("62e27d5850443a04", code => code.DotBytes(16, 0, new Address(Rdx, Rdi, Displacement: 16))); // vpdpbusd zmm16, zmm0, dword ptr [rdx+rdi+16]{1to16}
        Check("62925d5050940300020000", code => code.DotBytes(2, 20, new Address(R11, R8, Displacement: 512))); // vpdpbusd zmm2, zmm20, dword ptr [r11+r8+512]{1to16}
        Check("62f17c28104001", code => code.LoadVector(0, new Address(Rax, Displacement: 32), VectorLength.Bits256)); // {evex} vmovups ymm0, ymmword ptr [rax+32]
        Check("62f17c081058ff", code => code.LoadVector(3, new Address(Rax, Displacement: -16), VectorLength.Bits128)); // {evex} vmovups xmm3, xmmword ptr [rax-16]
        Check("62f3fd483a44080301", code => code.InsertUpper256(0, new Address(Rax, Rcx, Displacement: 96))); // vinserti64x4 zmm0, zmm0, ymmword ptr [rax+rcx+96], 1
        Check("62c3f5403a891000000001", code => code.InsertUpper256(17, new Address(R9, Displacement: 16))); // vinserti64x4 zmm17, zmm17, ymmword ptr [r9+16], 1
        Check("62f36528385c08ff01", code => code.InsertUpper128(3, new Address(Rax, Rcx, Displacement: -16))); // vinserti32x4 ymm3, ymm3, xmmword ptr [rax+rcx-16], 1
        Check("62f17540efc2", code => code.ExclusiveOr(0, 17, 2)); // vpxord zmm0, zmm17, zmm2
        Check("62f17d48dbca", code => code.And(1, 0, 2)); // vpandd zmm1, zmm0, zmm2
        Check("62f17d4871d004", code => code.ShiftRight16(0, 0, 4)); // vpsrlw zmm0, zmm0, 4
        Check("62f1654872f310", code => code.ShiftLeft32(3, 3, 16)); // vpslld zmm3, zmm3, 16
        Check("62f13d5072720907", code => code.ShiftLeft32(24, new Address(Rdx, Displacement: 36), 7)); // vpslld zmm24, dword ptr [rdx+36]{1to16}, 7
        Check("62f27d48585614", code => code.Broadcast(2, new Address(Rsi, Displacement: 80))); // vpbroadcastd zmm2, dword ptr [rsi+80]
        Check("62a27d4833dc", code => code.Widen16(19, 20)); // vpmovzxwd zmm19, ymm20
        Check("62617c485bc3", code => code.ConvertToSingle(24, 3)); // vcvtdq2ps zmm24, zmm3
        Check("62b1645859648a08", code => code.Multiply(4, 3, new Address(Rdx, R9, 4, 32))); // vmulps zmm4, zmm3, dword ptr [rdx+r9*4+32]{1to16}
        Check("62e23d40b8c4", code => code.MultiplyAdd(16, 24, 4)); // vfmadd231ps zmm16, zmm24, zmm4
    }

    /// <summary>Forwards and backwards, with a distance of 32 bits: a: jz b; jnz a; nop; jmp b; nop; b: ret.</summary>
    [Fact]
    public void Jumps_GoToTheirLabels()
        => Check("0f840d0000000f85f4ffffff90e90100000090c3", code =>
        {
            var (a, b) = (new Assembler.Label(), new Assembler.Label());
            code.Place(a);
            code.JumpIfZero(b);
            code.JumpIfNotZero(a);
            code.Align(13);
            code.Jump(b);
            code.Align(19);
            code.Place(b);
            code.Return();
        });

    private static void Check(string expected, Action<Assembler> emit)
    {
        var code = new Assembler();
        emit(code);
        Assert.Equal(expected, Convert.ToHexStringLower(code.ToArray()));
    }
}
