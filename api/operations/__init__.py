"""Operations endpoints: is it alive, is it ready, what does it count, what can it do."""
